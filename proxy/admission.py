"""Bounds the texts that are in hand at one time: what the service could not answer in time is refused at once."""

from collections.abc import Sequence

from proxy.embedder import Embedder, Embeddings
from proxy.errors import ServiceFull
from proxy.model import ServedModel

FULL = "The service has as many texts in hand as it takes on."


class AdmittingEmbedder:
    """An `Embedder` around another one, which holds at most `places` texts at a time.

    A request takes a place for each of its texts, or is refused whole, and gives them back however it ends: with an
    answer, an error, a deadline, or because nobody waits for it any more. A check takes none.
    """

    def __init__(self, embedder: Embedder, places: int) -> None:
        """`places`: texts, single ones and those of batches together."""
        self._embedder = embedder
        self._places = places
        self._free = places

    @property
    def free(self) -> int:
        """Texts that would be taken now."""
        return self._free

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
        if len(texts) > self._free:
            raise ServiceFull(FULL)
        self._free -= len(texts)
        try:
            return await self._embedder.embed(texts, normalize, deadline)
        finally:
            self._free += len(texts)
