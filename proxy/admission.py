"""Bounds the texts that are in hand at one time: what the service could not answer in time is refused at once."""

import asyncio
from collections.abc import Sequence

from proxy.embedder import Embedder, Embeddings
from proxy.errors import ServiceFull
from proxy.model import ServedModel
from proxy.schemas import MAX_TEXTS

FULL = "The service has as many texts in hand as it takes on."


class AdmittingEmbedder:
    """An `Embedder` around another one, which holds at most `places` texts at a time.

    A request takes a place for each of its texts, or is refused whole, and gives them back however it ends: with an
    answer, an error, a deadline, or because nobody waits for it any more. A check takes none.

    How long a place is held depends on the texts and on what else the machine does. So where the oldest request has
    waited for longer than `patience_seconds`, the texts of one largest batch are as many as there are places.
    """

    def __init__(self, embedder: Embedder, places: int, patience_seconds: float) -> None:
        """`places`: texts, single ones and those of batches together."""
        self._embedder = embedder
        self._places = places
        self._patience = patience_seconds
        self._in_hand = 0
        self._begun: dict[object, float] = {}  # when each request in hand came, the oldest first

    @property
    def free(self) -> int:
        """Texts that would be taken now."""
        oldest = next(iter(self._begun.values()), None)
        slow = oldest is not None and asyncio.get_running_loop().time() - oldest > self._patience
        return max(0, (min(self._places, MAX_TEXTS) if slow else self._places) - self._in_hand)

    async def open(self) -> None:
        """Opens the embedder."""
        await self._embedder.open()

    async def close(self) -> None:
        """Closes the embedder."""
        await self._embedder.close()

    async def model(self, deadline: float) -> ServedModel:
        """The embedder's own answer."""
        return await self._embedder.model(deadline)

    async def check(self, deadline: float) -> ServedModel:
        """The embedder's own answer: a service that is full is well."""
        return await self._embedder.check(deadline)

    async def embed(self, texts: Sequence[str], normalize: bool, deadline: float) -> Embeddings:
        """One vector for each text. Raises `ServiceFull` where no places are free for all of them."""
        if len(texts) > self.free:
            raise ServiceFull(FULL)
        request = object()
        self._begun[request] = asyncio.get_running_loop().time()
        self._in_hand += len(texts)
        try:
            return await self._embedder.embed(texts, normalize, deadline)
        finally:
            self._in_hand -= len(texts)
            del self._begun[request]
