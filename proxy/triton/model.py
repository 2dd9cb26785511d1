"""Which model is served, read from the ensemble's Triton model configuration."""

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.embedding.model import ServedModel
from proxy.errors import EngineFailed
from proxy.triton.canary import parse_canary

# Outputs of the ensemble that tell the time of its steps; exports of before have none.
SPANS = ("tokenizer_span", "pooling_span")


def parse_model_config(config: object) -> ServedModel:
    """Triton's model configuration (`GET /v2/models/<ensemble>/config`, parsed from JSON) to the model that it serves.

    Raises `EngineFailed` that names the parameter which is missing or makes no sense.
    """
    if not isinstance(config, Mapping):
        raise EngineFailed("The engine's model configuration is not a JSON object.")
    parameters = config.get("parameters")
    if not isinstance(parameters, Mapping):
        raise EngineFailed(
            "The engine's model configuration has no parameters: the ensemble was not made by the export."
        )
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
        tells_spans=_has_outputs(config, SPANS),
    )


def _has_outputs(config: Mapping[str, Any], names: Iterable[str]) -> bool:
    outputs = config.get("output")
    if not isinstance(outputs, list):
        return False
    return {output.get("name") for output in outputs if isinstance(output, Mapping)}.issuperset(names)


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
