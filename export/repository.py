"""A complete Triton model repository: the hand-written one, with what depends on the model filled in."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelWarmup

from export.conversion import TextTokenizer

VERSION = "1"  # of each model of the hand-written repository
HAND_WRITTEN = Path(__file__).resolve().parent.parent / "model_repository"
STEPS = ("tokenizer", "encoder", "pooling", "sentence_embedding")

# As the tokenizer step pads (model_repository/tokenizer/1/tokenization.py; a test holds the two together).
WARM_UP_LENGTHS = (16, 32, 64, 128, 256, 512)
WARM_UP_TEXT = "갈비탕"


@dataclass(frozen=True)
class ExportedModel:
    """What the repository says of its model, as parameters of the ensemble."""

    model_name: str
    model_revision: str
    dimension: int
    max_seq_length: int
    normalizes: bool
    prompt: str  # what the tokenizer step puts before each text; empty for none
    precision: str
    exporter_version: str
    torch_version: str
    export_key: str  # equal for exports of the same model by the same exporter
    canary_text: str  # what a check of the service embeds
    canary_embedding: str  # the unit vector that the original gives for it, float32 little-endian in base64
    canary_minimum_cosine: float  # between that and what the service gives

    @property
    def identity(self) -> str:
        """32 hexadecimal digits, equal for exports that are equal in every field: what each answer carries."""
        return hashlib.sha256(json.dumps(self._fields(), sort_keys=True).encode()).hexdigest()[:32]

    def parameters(self) -> dict[str, str]:
        """Each field as Triton's configuration holds it, and the identity that they have together."""
        return self._fields() | {"model_identity": self.identity}

    def _fields(self) -> dict[str, str]:
        """A string for each, booleans as `true` and `false`."""
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in vars(self).items()
        }


def write_repository(folder: Path, model: ExportedModel, tokenizer: TextTokenizer, version: int) -> None:
    """Fills `folder` with everything but `encoder/<version>/model.pt`.

    `version` is that of all four models. The ensemble takes the steps of its own version and no others, so that one
    Triton can serve two exports, and a text never passes through steps of both.
    """
    ignored = shutil.ignore_patterns(".gitkeep", "__pycache__")
    shutil.copytree(HAND_WRITTEN, folder, ignore=ignored, dirs_exist_ok=True)
    for step in STEPS:
        (folder / step / VERSION).rename(folder / step / str(version))
    # Not its own `save`, whose error on a full disk is a bare `Exception`.
    content: str = tokenizer.tokenizer.to_str(pretty=False)
    (folder / "tokenizer" / str(version) / "tokenizer.json").write_text(content, encoding="utf-8")
    prompts = json.dumps({"default_prompt": model.prompt}, ensure_ascii=False)
    (folder / "tokenizer" / str(version) / "prompts.json").write_text(prompts, encoding="utf-8")
    settings = json.dumps({"normalizes": model.normalizes})
    (folder / "pooling" / str(version) / "pooling.json").write_text(settings, encoding="utf-8")
    for step in ("tokenizer", "pooling"):  # those whose answers say whose they are
        (folder / step / str(version) / "model_identity").write_text(model.identity, encoding="utf-8")
    configs = {step: read_config(folder / step / "config.pbtxt") for step in STEPS}
    _complete_ensemble(configs["sentence_embedding"], model, version)
    _add_warm_up(folder, configs, model)
    for step, config in configs.items():
        (folder / step / "config.pbtxt").write_text(text_format.MessageToString(config, as_utf8=True), encoding="utf-8")


def read_config(path: Path) -> ModelConfig:
    """A `config.pbtxt`, through Triton's own protobuf."""
    return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())


def _complete_ensemble(config: ModelConfig, model: ExportedModel, version: int) -> None:
    """Which model this is, its dimension where the hand-written file says -1, and the versions of its steps."""
    for name, value in model.parameters().items():
        config.parameters[name].string_value = value
    for tensor in config.output:
        if tensor.name in {"embedding", "normalized_embedding"}:
            tensor.dims[-1] = model.dimension
    for step in config.ensemble_scheduling.step:
        step.model_version = version


def _add_warm_up(folder: Path, configs: dict[str, ModelConfig], model: ExportedModel) -> None:
    """One warm-up request for the tokenizer and the pooling step, one for each padded length for the encoder."""
    text = WARM_UP_TEXT.encode()
    warm_up = configs["tokenizer"].model_warmup.add(name="one_text", batch_size=1)
    _add_input(warm_up, configs["tokenizer"], "text", [1], _data(folder, "tokenizer", "one_text", _serialized(text)))
    lengths = sorted({min(length, model.max_seq_length) for length in WARM_UP_LENGTHS})
    for length in lengths:
        # A mask of ones: on a mask of zeros the encoder would have nothing to do.
        ones = _data(folder, "encoder", f"mask_{length}", np.ones(length, dtype=np.int64).tobytes())
        warm_up = configs["encoder"].model_warmup.add(name=f"length_{length}", batch_size=1)
        _add_input(warm_up, configs["encoder"], "input_ids", [length], None)
        _add_input(warm_up, configs["encoder"], "attention_mask", [length], ones)
    warm_up = configs["pooling"].model_warmup.add(name="one_text", batch_size=1)
    _add_input(warm_up, configs["pooling"], "token_embeddings", [lengths[0], model.dimension], None)
    _add_input(warm_up, configs["pooling"], "attention_mask", [lengths[0]], None)


def _add_input(warm_up: ModelWarmup, config: ModelConfig, name: str, dims: list[int], data_file: str | None) -> None:
    """An input of a warm-up request; without a data file it is all zeros."""
    tensor = warm_up.inputs[name]
    tensor.data_type = next(entry.data_type for entry in config.input if entry.name == name)
    tensor.dims.extend(dims)
    if data_file is None:
        tensor.zero_data = True
    else:
        tensor.input_data_file = data_file


def _data(folder: Path, step: str, name: str, content: bytes) -> str:
    """Writes a warm-up data file where Triton looks for it, `<model>/warmup/<name>`."""
    path = folder / step / "warmup" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return name


def _serialized(text: bytes) -> bytes:
    """A BYTES element as Triton reads it: its length as 4 bytes, little-endian, then itself."""
    return len(text).to_bytes(4, "little") + text
