"""Reading a model in sentence-transformers layout: what is taken, and each thing that is refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from export.conversion import load_original, load_tokenizer
from export.errors import UnsupportedModel
from export.layout import read_layout


@pytest.fixture
def model(small_stand_in: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(small_stand_in, folder)
    return folder


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_stand_in_is_read(model: Path) -> None:
    layout = read_layout(model)
    assert (layout.max_seq_length, layout.normalizes, layout.architecture) == (128, False, "bert")


def test_a_normalize_module_is_seen(model: Path) -> None:
    modules = json.loads((model / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})
    (model / "modules.json").write_text(json.dumps(modules))
    assert read_layout(model).normalizes


def test_what_sentence_transformers_itself_saves_is_read(model: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(model), device="cpu").save(str(tmp_path / "saved"))
    layout = read_layout(tmp_path / "saved")
    assert load_tokenizer(layout, load_original(layout)).max_seq_length == 128


@pytest.mark.parametrize(
    ("file", "values", "named"),
    [
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "cls"),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False}, "nothing"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "lasttoken"),
        ("config.json", {"model_type": "mpnet"}, "mpnet"),
        ("config.json", {"hidden_act": "relu"}, "hidden_act='relu'"),
        ("config.json", {"is_decoder": True}, "is_decoder"),
        ("config.json", {"position_embedding_type": "relative_key"}, "relative_key"),
    ],
)
def test_what_is_not_supported_is_named(model: Path, file: str, values: dict[str, Any], named: str) -> None:
    change(model / file, **values)
    with pytest.raises(UnsupportedModel, match=named):
        read_layout(model)


def test_other_modules_are_refused(model: Path) -> None:
    modules = json.loads((model / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (model / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UnsupportedModel, match="Dense"):
        read_layout(model)


PROMPTS = {"query": "query: ", "none": "", "null": None}


@pytest.mark.parametrize(
    ("config", "prompt"),
    [
        ({"prompts": PROMPTS, "default_prompt_name": "query"}, "query: "),
        ({"prompts": PROMPTS, "default_prompt_name": "none"}, ""),
        ({"prompts": PROMPTS, "default_prompt_name": "null"}, ""),
        ({"prompts": PROMPTS, "default_prompt_name": None}, ""),
        ({"prompts": PROMPTS}, ""),
        ({"prompts": None}, ""),
        ({}, ""),
    ],
)
def test_the_default_prompt(model: Path, config: dict[str, Any], prompt: str) -> None:
    (model / "config_sentence_transformers.json").write_text(json.dumps(config))
    assert read_layout(model).prompt == prompt


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"prompts": PROMPTS, "default_prompt_name": "passage"}, r"default_prompt_name='passage'.*none of its prompts"),
        ({"prompts": None, "default_prompt_name": "query"}, "none of its prompts"),
        ({"default_prompt_name": "query"}, "none of its prompts"),
        ({"prompts": {"query": ["query: "]}, "default_prompt_name": "query"}, "'query' .* is not a string"),
    ],
)
def test_a_default_prompt_that_makes_no_sense_is_named(model: Path, config: dict[str, Any], named: str) -> None:
    (model / "config_sentence_transformers.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModel, match=named):
        read_layout(model)


def test_a_prompt_that_the_mean_leaves_out_is_refused(model: Path) -> None:
    change(model / "1_Pooling/config.json", include_prompt=False)
    assert read_layout(model).prompt == "", "without a prompt it says nothing"
    config = {"prompts": PROMPTS, "default_prompt_name": "query"}
    (model / "config_sentence_transformers.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModel, match="include_prompt=false"):
        read_layout(model)


@pytest.mark.parametrize("missing", ["modules.json", "config.json", "1_Pooling/config.json"])
def test_a_missing_file_is_named(model: Path, missing: str) -> None:
    (model / missing).unlink()
    with pytest.raises(UnsupportedModel, match=Path(missing).name):
        read_layout(model)


def test_a_broken_file_is_named(model: Path) -> None:
    (model / "config.json").write_text("{")
    with pytest.raises(UnsupportedModel, match=r"config\.json is not valid JSON"):
        read_layout(model)


def test_weights_come_from_safetensors_only(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match="safetensors"):
        load_original(read_layout(model))


def test_weights_that_lack_a_layer_are_refused(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModel, match=r"lack 1 of its weights, encoder\.layer\.1\.output"):
        load_original(read_layout(model))


def test_the_length_limit_follows_sentence_transformers(model: Path) -> None:
    original = load_original(read_layout(model))
    assert load_tokenizer(read_layout(model), original).max_seq_length == 128
    (model / "sentence_bert_config.json").unlink()
    change(model / "tokenizer_config.json", model_max_length=100)
    assert load_tokenizer(read_layout(model), original).max_seq_length == 100
    change(model / "tokenizer_config.json", model_max_length=10**30)
    assert load_tokenizer(read_layout(model), original).max_seq_length == 512


def test_a_limit_over_the_positions_is_refused(model: Path) -> None:
    change(model / "sentence_bert_config.json", max_seq_length=513)
    layout = read_layout(model)
    with pytest.raises(UnsupportedModel, match="513 is more than the model's 512"):
        load_tokenizer(layout, load_original(layout))
