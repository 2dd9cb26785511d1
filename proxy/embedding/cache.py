"""Remembers vectors by exact text, and computes a text that several requests ask for at one time once.

A vector is kept under the identity of the model that computed it. Those of the current model are found again: the one
that the engine's newest answer names, to a text or to a check. Where the engine was or went away, there is none.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from cachetools import LRUCache

from proxy.embedding.base import AroundEmbedder, Embedder, Embeddings, Text, TruncationSide, join
from proxy.embedding.flights import Flights
from proxy.embedding.model import ServedModel
from proxy.embedding.stage_times import NO_TIMES
from proxy.errors import EngineOverloaded, EngineUnavailable

_Key = tuple[str, bool, TruncationSide, Text]  # identity, normalize, truncation, text

# Of an entry beside its text and its vector: the key's tuple, the arrays' objects, the places in the cache's tables.
_ENTRY_BYTES = 700
_TOKEN_ID_BYTES = 40


@dataclass(frozen=True)
class CacheCounts:
    """What the cache did since the start, and what it holds now."""

    hits: int  # texts answered from the cache, or by a computation that another request had under way
    misses: int  # texts that were computed
    texts: int
    bytes: int
    limit_bytes: int


def _entry_bytes(entry: tuple[Text, Embeddings]) -> int:
    text, embedded = entry
    # A character takes at most 4 bytes; a token id is an object and a place in the tuple.
    text_bytes = 4 * len(text) if isinstance(text, str) else _TOKEN_ID_BYTES * len(text)
    return text_bytes + embedded.vectors.nbytes + _ENTRY_BYTES


class CachingEmbedder(AroundEmbedder):
    """An `Embedder` around another one."""

    def __init__(self, embedder: Embedder, megabytes: int) -> None:
        """`megabytes`: MiB that the remembered texts and vectors may take, about."""
        super().__init__(embedder)
        self._vectors: LRUCache[_Key, tuple[Text, Embeddings]] = LRUCache(megabytes * 2**20, getsizeof=_entry_bytes)
        self._flights: Flights[_Key] = Flights(self._compute_keys)
        self._current: ServedModel | None = None
        self._questions = itertools.count(1)  # to the engine, numbered in order of asking
        self._newest = 0  # the newest question that has an answer
        self._hits = 0
        self._misses = 0

    @property
    def counts(self) -> CacheCounts:
        """Hits, misses and size."""
        return CacheCounts(
            self._hits, self._misses, len(self._vectors), int(self._vectors.currsize), int(self._vectors.maxsize)
        )

    def engine_ended(self) -> None:
        """Nothing is found again until the engine's next answer; what is under way does not count as that."""
        self._move_to(None, next(self._questions))

    async def check(self, deadline: float) -> ServedModel:
        """The embedder's own answer, whose model is the one that the cache answers with from now on."""
        number = next(self._questions)
        try:
            model = await self._embedder.check(deadline)
        except Exception as error:
            self._note_failure(error, number)
            raise
        self._move_to(model, number)
        return model

    def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Awaitable[Embeddings]:
        """One vector for each text, remembered or computed: a future that is done where all are remembered."""
        model = self._current
        if model is None:
            self._misses += len(texts)
            return self._compute(texts, normalize, deadline, truncation)
        keys: list[_Key] = [(model.identity, normalize, truncation, text) for text in texts]
        found: dict[_Key, Embeddings] = {}
        for key in keys:
            if key not in found and (entry := self._vectors.get(key)) is not None:
                found[key] = entry[1]
        missing = [key for key in keys if key not in found]
        if missing:
            return self._fly(model, keys, found, dict.fromkeys(missing), deadline)
        self._hits += len(keys)
        remembered: asyncio.Future[Embeddings] = asyncio.get_running_loop().create_future()
        remembered.set_result(join([found[key] for key in keys]))
        return remembered

    def missing(self, texts: Sequence[Text], normalize: bool) -> int:
        """How many of these texts, cut on the right, would be computed: neither remembered nor under way."""
        if self._current is None:
            return len(texts)
        identity = self._current.identity
        keys: set[_Key] = {(identity, normalize, "right", text) for text in texts}
        return sum(key not in self._vectors and key not in self._flights for key in keys)

    async def _fly(
        self,
        model: ServedModel,
        keys: Sequence[_Key],
        found: dict[_Key, Embeddings],
        wanted: Iterable[_Key],
        deadline: float,
    ) -> Embeddings:
        """The vectors of `keys`, of which those of `wanted` are computed now, unless they are under way already."""
        flying: list[_Key] = []
        missing: list[_Key] = []
        for key in wanted:
            (flying if key in self._flights else missing).append(key)
        self._hits += len(keys) - len(missing)
        self._misses += len(missing)
        passengers = self._flights.join(flying, deadline)
        stages = NO_TIMES
        try:
            if missing:
                passengers.append(self._flights.start(missing, deadline))
            for passenger in passengers:
                answer, rows = await passenger.answer()
                if answer.model != model:  # another took its place meanwhile: what was found is of no use beside it
                    return await self._compute_keys(keys, deadline)
                stages = max(stages, answer.stages, key=lambda each: each.total)  # they were under way at one time
                found.update((key, answer.rows([row])) for key, row in zip(passenger.keys, rows, strict=True))
        finally:
            for passenger in passengers:
                self._flights.leave(passenger)
        return join([found[key] for key in keys]).in_times(stages)

    def _compute_keys(self, keys: Sequence[_Key], deadline: float) -> "asyncio.Future[Embeddings]":
        """The vectors of keys that differ in nothing but the text."""
        _, normalize, truncation, _ = keys[0]
        return self._compute([text for *_, text in keys], normalize, deadline, truncation)

    def _compute(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide
    ) -> "asyncio.Future[Embeddings]":
        """Asks the embedder, and remembers the answer under the model that gave it."""
        number = next(self._questions)
        work = asyncio.ensure_future(self._embedder.embed(texts, normalize, deadline, truncation))
        work.add_done_callback(partial(self._answered, number, texts, normalize, truncation))
        return work

    def _answered(
        self,
        number: int,
        texts: Sequence[Text],
        normalize: bool,
        truncation: TruncationSide,
        work: "asyncio.Future[Embeddings]",
    ) -> None:
        if work.cancelled():
            return
        if (error := work.exception()) is not None:
            self._note_failure(error, number)
            return
        answer = work.result()
        self._move_to(answer.model, number)
        for row, text in enumerate(texts):
            entry = (text, answer.rows([row]))  # a copy: a view of the answer would keep all of it
            if _entry_bytes(entry) <= self._vectors.maxsize:
                self._vectors[(answer.model.identity, normalize, truncation, text)] = entry

    def _note_failure(self, error: BaseException, number: int) -> None:
        """Whether the engine is away, by what a question to it failed with."""
        if isinstance(error, EngineUnavailable) and not isinstance(error, EngineOverloaded):
            self._move_to(None, number)

    def _move_to(self, model: ServedModel | None, number: int) -> None:
        """The engine's answer to a question is the current model, unless a later question has one."""
        if number > self._newest:
            self._newest, self._current = number, model
