"""The served model, read from Triton's configuration."""

from typing import Any

import pytest

from proxy.errors import EngineFailed
from proxy.triton.model import parse_model_config
from tests.fakes.fake_triton import model_config


def test_every_field_is_read() -> None:
    model = parse_model_config(
        model_config("all-MiniLM-L6-v2", dimension=384, changes={"normalizes": "true", "precision": "int8"})
    )
    assert model.name == "all-MiniLM-L6-v2"
    assert model.revision == "0123456789abcdef0123456789abcdef01234567"
    assert (model.dimension, model.max_seq_length, model.max_batch_size) == (384, 128, 128)
    assert model.normalizes
    assert model.precision == "int8"
    assert model.version == "all-MiniLM-L6-v2@0123456789ab-int8"


@pytest.mark.parametrize(
    "changes",
    [{"model_name": "other"}, {"model_revision": "fedcba9876543210"}, {"precision": "float16"}],
)
def test_the_version_changes_with_name_revision_and_precision(changes: dict[str, str]) -> None:
    changed = model_config()
    changed["parameters"] |= {name: {"string_value": value} for name, value in changes.items()}
    assert parse_model_config(changed).version != parse_model_config(model_config()).version


def test_the_version_stays_when_what_cannot_change_vectors_does() -> None:
    newer = model_config(changes={"exporter_version": "2", "torch_version": "3.0.0"})
    assert parse_model_config(newer).version == parse_model_config(model_config()).version


@pytest.mark.parametrize(
    "name", ["model_name", "model_revision", "dimension", "max_seq_length", "normalizes", "precision"]
)
def test_a_missing_parameter_is_named(name: str) -> None:
    with pytest.raises(EngineFailed, match=name):
        parse_model_config(model_config(changes={name: ""}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dimension", "0"),
        ("dimension", "-1"),
        ("dimension", "²"),
        ("dimension", "9" * 5000),
        ("max_seq_length", "many"),
        ("normalizes", "True"),
    ],
)
def test_an_odd_parameter_is_named(name: str, value: str) -> None:
    config = model_config()
    config["parameters"][name] = {"string_value": value}
    with pytest.raises(EngineFailed, match=name):
        parse_model_config(config)


@pytest.mark.parametrize(
    "config", [None, [], "x", {}, {"parameters": []}, {**model_config(), "max_batch_size": "many"}]
)
def test_what_is_no_configuration_is_refused(config: Any) -> None:
    with pytest.raises(EngineFailed, match="configuration"):
        parse_model_config(config)


def test_a_parameter_that_is_no_object_is_refused() -> None:
    config = model_config()
    config["parameters"]["dimension"] = 384
    with pytest.raises(EngineFailed, match="dimension"):
        parse_model_config(config)
