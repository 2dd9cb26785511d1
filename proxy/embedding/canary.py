"""The text that a check embeds, and the vector that the model's export says it must give."""

from dataclasses import dataclass

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
