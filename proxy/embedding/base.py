"""What the endpoints ask for: texts to vectors, and whose vectors they are.

The seam between HTTP and the engine. A cache or a scheduler goes here as one more `Embedder` around another.
"""

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from proxy.embedding.model import ServedModel
from proxy.embedding.stage_times import NO_TIMES, StageTimes

TokenIds = tuple[int, ...]  # of the model's own vocabulary, without the special tokens
Text = str | TokenIds
TruncationSide = Literal["right", "left"]  # where a text is cut that is longer than the model reads


@dataclass(frozen=True, eq=False, slots=True)
class Embeddings:
    """N vectors, and the model that computed them."""

    vectors: NDArray[np.float32]  # [N, D], finite, in the order of the texts
    token_counts: NDArray[np.int32]  # [N], of each whole text with the special tokens, before truncation
    model: ServedModel
    stages: StageTimes = NO_TIMES  # of the computation; none for what was remembered

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """`[N]`: whether the model saw a part of the text alone."""
        return self.token_counts > self.model.max_seq_length

    def rows(self, places: Iterable[int]) -> "Embeddings":
        """Those of some of the texts, in the order of `places`; without times, which are not a text's."""
        chosen = list(places)
        return Embeddings(self.vectors[chosen], self.token_counts[chosen], self.model)

    def in_times(self, stages: StageTimes) -> "Embeddings":
        """The same, and where the time of their computation went."""
        return Embeddings(self.vectors, self.token_counts, self.model, stages)

    def piece(self, start: int, end: int) -> "Embeddings":
        """Those of the texts from `start` up to `end`, as views; without times."""
        return Embeddings(self.vectors[start:end], self.token_counts[start:end], self.model)


@dataclass(frozen=True, eq=False, slots=True)
class Tokens:
    """N texts as the model sees them."""

    ids: Sequence[NDArray[np.int64]]  # [tokens] of each text, after truncation
    token_counts: NDArray[np.int32]  # [N], of each whole text with the special tokens, before truncation
    model: ServedModel

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """`[N]`: whether the model sees a part of the text alone."""
        return self.token_counts > self.model.max_seq_length


def join(parts: Sequence[Embeddings]) -> Embeddings:
    """Those of 1 or more parts, one after another; all of them must be of one model."""
    if len(parts) == 1:
        return parts[0]
    return Embeddings(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.token_counts for part in parts]),
        parts[0].model,
        sum((part.stages for part in parts), NO_TIMES),
    )


class Embedder(Protocol):
    """Embeds texts. A deadline is an instant on the event loop's clock (`loop.time()`), in seconds.

    Each method that takes one raises a `proxy.errors.EmbeddingError`, and nothing else, when it cannot answer. What
    `embed` and `tokenize` return is awaited once, at once; it may be a future that others resolve, and need no task.
    """

    async def open(self) -> None:
        """Gets ready; does not wait for the engine to be there."""

    async def close(self) -> None:
        """Gives back what `open` took."""

    def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Awaitable[Embeddings]:
        """One vector for each of 1 or more texts: unit length, or as the model puts it out.

        The texts are all strings or all token ids.
        """
        ...

    def tokenize(
        self,
        texts: Sequence[Text],
        deadline: float,
        truncation: TruncationSide = "right",
        special_tokens: bool = False,
    ) -> Awaitable[Tokens]:
        """The token ids of 1 to 128 texts, with the special tokens or as `embed` takes them."""
        ...

    async def model(self, deadline: float) -> ServedModel:
        """The model that is served now."""
        ...

    async def check(self, deadline: float) -> ServedModel:
        """Proves that a text sent now would be embedded, by embedding one: never from a cache."""
        ...


class AroundEmbedder:
    """An `Embedder` around another one, whose answers a subclass keeps, bounds or counts; what it leaves alone passes.

    Checks and token ids pass by default: they take no place, wait behind no text, and are not remembered.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def open(self) -> None:
        """Opens the embedder."""
        await self._embedder.open()

    async def close(self) -> None:
        """Closes the embedder."""
        await self._embedder.close()

    def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Awaitable[Embeddings]:
        """The embedder's own answer."""
        return self._embedder.embed(texts, normalize, deadline, truncation)

    def tokenize(
        self,
        texts: Sequence[Text],
        deadline: float,
        truncation: TruncationSide = "right",
        special_tokens: bool = False,
    ) -> Awaitable[Tokens]:
        """The embedder's own answer."""
        return self._embedder.tokenize(texts, deadline, truncation, special_tokens)

    async def model(self, deadline: float) -> ServedModel:
        """The embedder's own answer."""
        return await self._embedder.model(deadline)

    async def check(self, deadline: float) -> ServedModel:
        """The embedder's own answer."""
        return await self._embedder.check(deadline)
