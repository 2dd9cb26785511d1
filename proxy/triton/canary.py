"""The canary of the ensemble's parameters."""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from proxy.embedding.canary import Canary
from proxy.errors import EngineFailed


def parse_canary(parameters: Mapping[str, Any], dimension: int) -> Canary | None:
    """From the ensemble's parameters; None where it has no canary, as one that was made by hand.

    Raises `EngineFailed` for one that makes no sense.
    """
    values = {name: parameters.get(f"canary_{name}") for name in ("text", "embedding", "minimum_cosine")}
    if all(value is None for value in values.values()):
        return None
    try:
        text, encoded, minimum = (str(value["string_value"]) for value in values.values() if value is not None)
        canary = Canary(text, base64.b64decode(encoded, validate=True), float(minimum))
    except (ValueError, KeyError, TypeError, binascii.Error):
        canary = Canary("", b"", math.nan)
    sound = (
        canary.text
        and len(canary.vector) == 4 * dimension
        and np.isfinite(np.frombuffer(canary.vector, "<f4")).all()
        and 0 < canary.minimum_cosine <= 1
    )
    if not sound:
        raise EngineFailed("The canary parameters of the engine's model configuration make no sense.")
    return canary
