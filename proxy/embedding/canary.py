"""The text that a check embeds, and the vector that the model's export says it must give."""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxy.errors import EngineFailed

# For an ensemble whose export says nothing: a query as users send it, short and not of one script alone.
DEFAULT_TEXT = "health 확인"


@dataclass(frozen=True)
class Canary:
    """What a check asks and expects."""

    text: str
    vector: bytes  # float32 [D], little-endian, unit length
    minimum_cosine: float

    def compare(self, found: NDArray[np.float32]) -> None:
        """Raises `EngineFailed` where `found`, the engine's unit vector `[D]`, is not the one that it must be."""
        expected = np.frombuffer(self.vector, "<f4").astype(np.float64)
        length = float(np.linalg.norm(found)) * float(np.linalg.norm(expected))
        cosine = float(expected @ found) / length if length > 0 else 0.0
        if cosine < self.minimum_cosine:
            raise EngineFailed(
                f"The engine gives the check's text another vector than the model's export: the cosine is {cosine:.4f}"
                f", and at least {self.minimum_cosine:g} is expected."
            )


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
