"""Bounds the texts that are in hand at one time: what the service could not answer in time is refused at once."""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial

from proxy.embedding.base import AroundEmbedder, Embedder, Embeddings, Text, TruncationSide
from proxy.errors import DeadlineExceeded, ServiceFull

FULL = "The service has as many texts in hand as it takes on."

# Of the speed that is known, what the newest answer counts; so the last twenty or so tell it.
_NEWEST = 0.1
_LEAST_SECONDS = 0.001
# About as many queries as two calls to the engine take, one under way and one to follow: with fewer it would pause.
_FEWEST = 64


class AdmittingEmbedder(AroundEmbedder):
    """An `Embedder` around another one, which holds at most `places` texts at a time.

    A request takes a place for each of its texts, or is refused whole, and gives them back however it ends: with an
    answer, an error, a deadline, or because nobody waits for it any more. A check takes none.

    How long the texts in hand take depends on their lengths and on what else the machine does. So there are fewer
    places where the latest answers show that all would take longer than `patience_seconds`; but a service with nothing
    in hand has them all.
    """

    def __init__(self, embedder: Embedder, places: int, patience_seconds: float) -> None:
        """`places`: texts, single ones and those of batches together."""
        super().__init__(embedder)
        self._places = places
        self._patience = patience_seconds
        self._in_hand = 0
        self._speed: float | None = None  # texts a second, as the latest answers show it
        self._answered = False  # whether it comes from an answer, and not from timeouts alone

    @property
    def in_hand(self) -> int:
        """Texts that wait or are computed now."""
        return self._in_hand

    @property
    def free(self) -> int:
        """Texts that would be taken now."""
        places = self._places
        if self._in_hand and self._speed is not None:
            places = min(places, max(_FEWEST, int(self._speed * self._patience)))
        return max(0, places - self._in_hand)

    def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Awaitable[Embeddings]:
        """One vector for each text. Raises `ServiceFull` at once where no places are free for all of them."""
        if len(texts) > self.free:
            raise ServiceFull(FULL)
        work = asyncio.ensure_future(self._embedder.embed(texts, normalize, deadline, truncation))
        self._in_hand += len(texts)
        now = asyncio.get_running_loop().time()
        work.add_done_callback(partial(self._ended, len(texts), self._in_hand, now, deadline))
        return work

    def _ended(
        self, texts: int, in_hand: int, begun: float, deadline: float, work: "asyncio.Future[Embeddings]"
    ) -> None:
        """Gives the places of so many texts back; `in_hand`: when they came, themselves counted."""
        self._in_hand -= texts
        if work.cancelled():  # its caller left, or had no more time
            if asyncio.get_running_loop().time() >= deadline:
                self._learn_timeout(in_hand, begun)
        elif isinstance(error := work.exception(), DeadlineExceeded):
            self._learn_timeout(in_hand, begun)
        elif error is None:
            self._learn(in_hand, begun)

    def _learn(self, texts: int, begun: float) -> None:
        """So many were in hand when the request came, and it took until now: about as long as all of them."""
        seen = _speed(texts, begun)
        known = self._speed if self._answered else None
        self._speed = seen if known is None else known + _NEWEST * (seen - known)
        self._answered = True

    def _learn_timeout(self, texts: int, begun: float) -> None:
        """So many were not done by now: the speed is less than this would be. A short deadline says nothing."""
        seen = _speed(texts, begun)
        if self._speed is None:
            self._speed = seen
        elif seen < self._speed:
            self._speed += _NEWEST * (seen - self._speed)


def _speed(texts: int, begun: float) -> float:
    """Texts a second, from the instant `begun` of the event loop's clock until now."""
    return texts / max(asyncio.get_running_loop().time() - begun, _LEAST_SECONDS)
