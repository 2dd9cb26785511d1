"""The four configurations, through Triton's own protobuf: every edge of the ensemble followed, names kept."""

import re
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc.model_config_pb2 import DataType, ModelInstanceGroup

from export.placement import ensure_exported
from export.repository import STEPS, WARM_UP_LENGTHS, read_config
from export.settings import Settings
from proxy.embedding import batching

HAND_WRITTEN = Path(__file__).resolve().parents[2] / "model_repository"

# Names and types that others use from outside.
INPUTS = {
    "tokenizer": {"text": "TYPE_STRING"},
    "encoder": {"input_ids": "TYPE_INT64", "attention_mask": "TYPE_INT64"},
    "pooling": {"token_embeddings": "TYPE_FP32", "attention_mask": "TYPE_INT64"},
    "sentence_embedding": {"text": "TYPE_STRING"},
}
OUTPUTS = {
    "tokenizer": {
        "input_ids": "TYPE_INT64",
        "attention_mask": "TYPE_INT64",
        "token_count": "TYPE_INT32",
        "truncated": "TYPE_BOOL",
        "tokenizer_span": "TYPE_INT64",
    },
    "encoder": {"token_embeddings": "TYPE_FP32"},
    "pooling": {"embedding": "TYPE_FP32", "normalized_embedding": "TYPE_FP32", "pooling_span": "TYPE_INT64"},
    "sentence_embedding": {
        "embedding": "TYPE_FP32",
        "normalized_embedding": "TYPE_FP32",
        "token_count": "TYPE_INT32",
        "truncated": "TYPE_BOOL",
        "tokenizer_span": "TYPE_INT64",
        "pooling_span": "TYPE_INT64",
    },
}


@pytest.fixture(scope="module")
def exported(small_stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    link = tmp_path_factory.mktemp("build") / "model_repository"
    ensure_exported(Settings(model=str(small_stand_in), model_repository=link), if_needed=False)
    return link


@pytest.fixture(params=["hand-written", "exported"])
def configs(request: pytest.FixtureRequest, exported: Path) -> dict[str, Any]:
    folder = HAND_WRITTEN if request.param == "hand-written" else exported
    return {step: read_config(folder / step / "config.pbtxt") for step in STEPS}


def tensors(entries: Any) -> dict[str, str]:
    return {entry.name: DataType.Name(entry.data_type) for entry in entries}


def test_names_and_types(configs: dict[str, Any]) -> None:
    assert {step: tensors(config.input) for step, config in configs.items()} == INPUTS
    assert {step: tensors(config.output) for step, config in configs.items()} == OUTPUTS
    assert all(config.name == step for step, config in configs.items())


def fits(one: tuple[int, list[int]], other: tuple[int, list[int]]) -> bool:
    """Triton's own rule: one type, and equal sizes where neither is open (-1)."""
    return (
        one[0] == other[0]
        and len(one[1]) == len(other[1])
        and all(a == b or -1 in (a, b) for a, b in zip(one[1], other[1], strict=True))
    )


def test_every_edge_of_the_ensemble_fits(configs: dict[str, Any]) -> None:
    ensemble = configs["sentence_embedding"]
    carried = {entry.name: (entry.data_type, list(entry.dims)) for entry in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        model = configs[step.model_name]
        inputs = {entry.name: (entry.data_type, list(entry.dims)) for entry in model.input}
        outputs = {entry.name: (entry.data_type, list(entry.dims)) for entry in model.output}
        assert set(step.input_map) == set(inputs), step.model_name
        for name, source in step.input_map.items():
            assert fits(carried[source], inputs[name]), f"{step.model_name}.{name}"
        for name, target in step.output_map.items():
            carried[target] = outputs[name]
    for entry in ensemble.output:
        assert fits(carried[entry.name], (entry.data_type, list(entry.dims))), entry.name
    assert len({config.max_batch_size for config in configs.values()}) == 1


def test_every_instance_group_is_on_the_cpu(configs: dict[str, Any]) -> None:
    for step, config in configs.items():
        groups = list(config.instance_group)
        assert bool(groups) == (step != "sentence_embedding")
        assert all(group.kind == ModelInstanceGroup.KIND_CPU for group in groups)


def test_the_encoder_is_what_either_pytorch_backend_takes(configs: dict[str, Any]) -> None:
    encoder = configs["encoder"]
    assert (encoder.backend, encoder.platform) == ("pytorch", "pytorch_libtorch")
    assert encoder.default_model_filename == "model.pt"


def test_export_fills_in_the_width_and_warms_every_step(exported: Path) -> None:
    configs = {step: read_config(exported / step / "config.pbtxt") for step in STEPS}
    assert [list(entry.dims) for entry in configs["sentence_embedding"].output] == [[64], [64], [1], [1], [2], [2]]
    warmed = {step: [entry.name for entry in config.model_warmup] for step, config in configs.items()}
    assert warmed["encoder"] == ["length_16", "length_32", "length_64", "length_128"]
    assert warmed["tokenizer"] == ["one_text"]
    assert warmed["pooling"] == ["one_text"]
    for step, config in configs.items():
        for entry in config.model_warmup:
            for tensor in entry.inputs.values():
                assert tensor.zero_data or (exported / step / "warmup" / tensor.input_data_file).exists()


def test_another_export_can_be_loaded_beside_the_first(
    small_stand_in: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Versions of their own, each ensemble with its own steps, and the same configuration of each step."""
    link = tmp_path_factory.mktemp("build") / "model_repository"
    exports = []
    for precision in ("float32", "float16"):
        ensure_exported(Settings(model=str(small_stand_in), precision=precision, model_repository=link), True)
        exports.append(link.resolve())
    for number, folder in enumerate(exports, start=1):
        assert {path.parent.name for path in folder.glob("*/*/") if path.name == str(number)} == set(STEPS)
        ensemble = read_config(folder / "sentence_embedding" / "config.pbtxt")
        assert {step.model_version for step in ensemble.ensemble_scheduling.step} == {number}
    for step in STEPS[:3]:
        first, second = (read_config(folder / step / "config.pbtxt") for folder in exports)
        assert first == second
        assert first.version_policy.HasField("all")


def test_the_warm_up_has_the_lengths_that_the_tokenizer_pads_to() -> None:
    source = (HAND_WRITTEN / "tokenizer" / "1" / "tokenization.py").read_text()
    found = re.search(r"^LENGTH_BUCKETS = (\(.*\))$", source, re.MULTILINE)
    assert found is not None
    assert found.group(1) == str(WARM_UP_LENGTHS)


def test_nothing_generated_is_tracked() -> None:
    names = {path.name for path in HAND_WRITTEN.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert names == {"config.pbtxt", "model.py", "tokenization.py", "mean_pooling.py", ".gitkeep"}


def test_each_number_that_is_not_a_default_has_its_reason() -> None:
    for path in HAND_WRITTEN.glob("*/config.pbtxt"):
        for line in path.read_text().splitlines():
            if re.match(r"\s*(max_batch_size|\{? ?kind|dynamic_batching)", line):
                assert "#" in line, f"{path.parent.name}: {line}"


def test_the_proxy_makes_no_larger_calls_than_the_models_take(configs: dict[str, Any]) -> None:
    assert {config.max_batch_size for config in configs.values()} == {batching._MOST_TEXTS}
