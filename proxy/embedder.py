"""What the endpoints ask for: texts to vectors, and whose vectors they are.

The seam between HTTP and the engine. A cache or a scheduler goes here as one more `Embedder` around another.
"""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from proxy.model import ServedModel


@dataclass(frozen=True, eq=False)
class Embeddings:
    """N vectors, and the model that computed them."""

    vectors: NDArray[np.float32]  # [N, D], finite, in the order of the texts
    model: ServedModel


class Embedder(Protocol):
    """Embeds texts. A deadline is an instant on the event loop's clock (`loop.time()`), in seconds.

    Each method that takes one raises a `proxy.errors.EmbeddingError`, and nothing else, when it cannot answer.
    """

    async def open(self) -> None:
        """Gets ready; does not wait for the engine to be there."""

    async def close(self) -> None:
        """Gives back what `open` took."""

    def embed(self, texts: Sequence[str], normalize: bool, deadline: float) -> Coroutine[Any, Any, Embeddings]:
        """One vector for each of 1 or more texts: unit length, or as the model puts it out."""
        ...

    async def model(self, deadline: float) -> ServedModel:
        """The model that is served now."""
        ...

    async def check(self, deadline: float) -> ServedModel:
        """Proves that a text sent now would be embedded, by embedding one: never from a cache."""
        ...
