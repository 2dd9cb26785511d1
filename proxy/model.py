"""Which model is served, read from the ensemble's Triton model configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.canary import Canary, parse_canary
from proxy.errors import EngineFailed, OutdatedExport

# As much of a commit hash as tells any two revisions apart.
_REVISION_CHARACTERS = 12


@dataclass(frozen=True)
class ServedModel:
    """The model behind the vectors, as the export wrote it into the ensemble's parameters."""

    name: str  # the model's own, "paraphrase-multilingual-MiniLM-L12-v2"; never that of a Triton model
    revision: str  # a commit, or a hash of the files where there is none
    dimension: int  # components of a vector
    max_seq_length: int  # tokens, the special ones counted; longer texts are truncated
    normalizes: bool  # whether the model itself puts out unit vectors
    precision: str  # of the weights: float32, float16 or int8
    max_batch_size: int  # texts that Triton takes in one request; 0 where the ensemble has no batch dimension
    identity: str  # 32 hexadecimal digits, as each answer carries them; equal for equal exports alone
    canary: Canary | None = field(
        default=None, repr=False
    )  # what a check must find; None where the export says nothing
    # Triton's version of the tokenizer that the ensemble takes; empty for the newest. Equal exports may have others.
    tokenizer_version: str = field(default="", repr=False, compare=False)

    @property
    def version(self) -> str:
        """Changes if, and only if, vectors can change.

        >>> ServedModel("mini", "0123456789abcdef", 384, 128, False, "float16", 128, 32 * "0").version
        'mini@0123456789ab-float16'
        """
        revision = self.revision.removeprefix("sha256-")[:_REVISION_CHARACTERS]
        return f"{self.name}@{revision}-{self.precision}"


def parse_model_config(config: object) -> ServedModel:
    """Triton's model configuration (`GET /v2/models/<ensemble>/config`, parsed from JSON) to the model that it serves.

    Raises `EngineFailed` that names the parameter which is missing or makes no sense, and `OutdatedExport` where the
    export did not write an identity.
    """
    if not isinstance(config, Mapping):
        raise EngineFailed("The engine's model configuration is not a JSON object.")
    parameters = config.get("parameters")
    if not isinstance(parameters, Mapping):
        raise EngineFailed(
            "The engine's model configuration has no parameters: the ensemble was not made by the export."
        )
    if "model_identity" not in parameters:
        raise OutdatedExport
    dimension = _count(parameters, "dimension")
    return ServedModel(
        name=_text(parameters, "model_name"),
        revision=_text(parameters, "model_revision"),
        dimension=dimension,
        max_seq_length=_count(parameters, "max_seq_length"),
        normalizes=_flag(parameters, "normalizes"),
        precision=_text(parameters, "precision"),
        max_batch_size=_batch_size(config),
        canary=parse_canary(parameters, dimension),
        identity=_text(parameters, "model_identity"),
        tokenizer_version=_tokenizer_version(config),
    )


def _tokenizer_version(config: Mapping[str, Any]) -> str:
    scheduling = config.get("ensemble_scheduling")
    steps = scheduling.get("step") if isinstance(scheduling, Mapping) else None
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, Mapping) and step.get("model_name") == "tokenizer":
            # Triton's JSON has 64-bit numbers as such or as strings; -1 is the newest.
            version = str(step.get("model_version", ""))
            return version if version.isascii() and version.isdigit() else ""
    return ""


def _text(parameters: Mapping[str, Any], name: str) -> str:
    parameter = parameters.get(name)
    value = parameter.get("string_value") if isinstance(parameter, Mapping) else None
    if not isinstance(value, str) or not value:
        raise EngineFailed(f"The engine's model configuration lacks the parameter {name!r}.")
    return value


def _count(parameters: Mapping[str, Any], name: str) -> int:
    value = _text(parameters, name)
    # isascii as well: "²".isdigit() is true and int("²") is an error.
    if not (value.isascii() and value.isdigit()) or len(value) > 9 or int(value) < 1:
        raise EngineFailed(
            f"The parameter {name!r} of the engine's model configuration is not a positive whole number."
        )
    return int(value)


def _flag(parameters: Mapping[str, Any], name: str) -> bool:
    value = _text(parameters, name)
    if value not in ("true", "false"):
        raise EngineFailed(f"The parameter {name!r} of the engine's model configuration is neither 'true' nor 'false'.")
    return value == "true"


def _batch_size(config: Mapping[str, Any]) -> int:
    value = config.get("max_batch_size", 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise EngineFailed("max_batch_size of the engine's model configuration is not a whole number.")
    return value
