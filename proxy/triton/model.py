"""Which model is served, read from the ensemble's Triton model configuration."""

from collections.abc import Mapping
from typing import Any

from proxy.embedding.model import ServedModel
from proxy.errors import EngineFailed, OutdatedExport
from proxy.triton.canary import parse_canary


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
        prompt=_prompt(parameters),
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


def _prompt(parameters: Mapping[str, Any]) -> str:
    """Empty where the export says nothing of prompts, too: then there is none."""
    parameter = parameters.get("prompt")
    value = parameter.get("string_value") if isinstance(parameter, Mapping) else None
    return value if isinstance(value, str) else ""


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
