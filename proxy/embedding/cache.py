"""Remembers vectors by exact text, and computes a text that several requests ask for at one time once.

A vector is found again under the version of the model that computed it, and only while the engine's process is surely
the one that gave an answer of that version.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cachetools import LRUCache

from proxy.deadlines import until
from proxy.embedding.base import AroundEmbedder, Embedder, Embeddings, EngineWatch, Text, TruncationSide, join
from proxy.embedding.model import ServedModel
from proxy.embedding.stage_times import NO_TIMES
from proxy.errors import DeadlineExceeded

_Key = tuple[str, bool, TruncationSide, Text]  # version, normalize, truncation, text

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


class _Flight:
    """A computation under way, and how many requests wait for it."""

    def __init__(self, task: "asyncio.Task[Embeddings]") -> None:
        self.task = task
        self.waiting = 0
        self.keys: list[_Key] = []


def _entry_bytes(entry: tuple[Text, Embeddings]) -> int:
    text, embedded = entry
    # A character takes at most 4 bytes; a token id is an object and a place in the tuple.
    text_bytes = 4 * len(text) if isinstance(text, str) else _TOKEN_ID_BYTES * len(text)
    return text_bytes + embedded.vectors.nbytes + _ENTRY_BYTES


class CachingEmbedder(AroundEmbedder):
    """An `Embedder` around another one."""

    def __init__(self, embedder: Embedder, watch: EngineWatch, megabytes: int) -> None:
        """`megabytes`: MiB that the remembered texts and vectors may take, about."""
        super().__init__(embedder)
        self._watch = watch
        self._vectors: LRUCache[_Key, tuple[Text, Embeddings]] = LRUCache(megabytes * 2**20, getsizeof=_entry_bytes)
        self._flights: dict[_Key, tuple[_Flight, int]] = {}  # the flight, and the text's row in its answer
        self._current: tuple[int, ServedModel] | None = None  # a process, and the model that it serves
        self._hits = 0
        self._misses = 0

    @property
    def counts(self) -> CacheCounts:
        """Hits, misses and size."""
        return CacheCounts(
            self._hits, self._misses, len(self._vectors), int(self._vectors.currsize), int(self._vectors.maxsize)
        )

    async def open(self) -> None:
        """Opens the embedder, and starts to watch its process."""
        await self._embedder.open()
        await self._watch.open()

    async def close(self) -> None:
        """Closes both."""
        await self._watch.close()
        await self._embedder.close()

    async def check(self, deadline: float) -> ServedModel:
        """The embedder's own answer, whose model is the one that the cache answers with from now on."""
        process, before = self._watch.process, self._current
        model = await self._embedder.check(deadline)
        self._move_to(model, process, before)
        return model

    async def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Embeddings:
        """One vector for each text, remembered or computed. Raises as the embedder does."""
        current = self._current
        if current is None or current[0] != self._watch.process:
            self._misses += len(texts)
            return await self._compute(texts, normalize, deadline, truncation)
        model = current[1]
        keys: list[_Key] = [(model.version, normalize, truncation, text) for text in texts]
        found: dict[_Key, Embeddings] = {}
        joined: dict[_Flight, list[tuple[_Key, int]]] = {}
        missing: dict[_Key, None] = {}
        for key in dict.fromkeys(keys):
            if (entry := self._vectors.get(key)) is not None:
                found[key] = entry[1]
            elif (flying := self._flights.get(key)) is not None:
                joined.setdefault(flying[0], []).append((key, flying[1]))
            else:
                missing[key] = None
        self._hits += len(texts) - len(missing)
        self._misses += len(missing)
        if missing:
            flight = self._start(list(missing), deadline)
            joined[flight] = [(key, row) for row, key in enumerate(missing)]
        for flight in joined:
            flight.waiting += 1
        stages = NO_TIMES
        try:
            for flight, places in joined.items():
                answer = await self._wait(flight, places, deadline)
                if answer.model != model:  # another took its place meanwhile: what was found is of no use beside it
                    return await self._compute(texts, normalize, deadline, truncation)
                stages = max(stages, answer.stages, key=lambda each: each.total)  # they were under way at one time
                found.update((key, answer.rows([row])) for row, (key, _) in enumerate(places))
        finally:
            for flight in joined:
                self._leave(flight)
        return replace(join([found[key] for key in keys]), stages=stages)

    def missing(self, texts: Sequence[Text], normalize: bool) -> int:
        """How many of these texts, cut on the right, would be computed: neither remembered nor under way."""
        if self._current is None or self._current[0] != self._watch.process:
            return len(texts)
        version = self._current[1].version
        keys: set[_Key] = {(version, normalize, "right", text) for text in texts}
        return sum(key not in self._vectors and key not in self._flights for key in keys)

    def _start(self, keys: list[_Key], deadline: float) -> _Flight:
        flight = _Flight(asyncio.create_task(self._compute_keys(keys, deadline)))
        flight.keys = keys
        for row, key in enumerate(keys):
            self._flights[key] = (flight, row)
        flight.task.add_done_callback(lambda _: self._land(flight))
        return flight

    def _land(self, flight: _Flight) -> None:
        self._forget(flight)
        if not flight.task.cancelled():
            flight.task.exception()  # seen, even where nobody waits for it any more

    def _forget(self, flight: _Flight) -> None:
        for key in flight.keys:
            if key in self._flights and self._flights[key][0] is flight:
                del self._flights[key]

    def _leave(self, flight: _Flight) -> None:
        """The last to leave a flight stops it."""
        flight.waiting -= 1
        if flight.waiting == 0 and not flight.task.done():
            flight.task.cancel()
            self._forget(flight)  # at once: nobody may join it any more

    async def _wait(self, flight: _Flight, places: list[tuple[_Key, int]], deadline: float) -> Embeddings:
        """The vectors of these texts, in this order; `places` has each text's row in the flight's answer.

        A deadline that is another request's does not end this one.
        """
        try:
            async with until(deadline):
                answer = await asyncio.shield(flight.task)
        except DeadlineExceeded:
            if asyncio.get_running_loop().time() >= deadline:
                raise
            return await self._compute_keys([key for key, _ in places], deadline)
        return replace(answer.rows(row for _, row in places), stages=answer.stages)

    async def _compute_keys(self, keys: Sequence[_Key], deadline: float) -> Embeddings:
        """The vectors of keys that differ in nothing but the text."""
        _, normalize, truncation, _ = keys[0]
        return await self._compute([text for *_, text in keys], normalize, deadline, truncation)

    async def _compute(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide
    ) -> Embeddings:
        """Asks the embedder, and remembers the answer if one process was there all the while."""
        process, before = self._watch.process, self._current
        answer = await self._embedder.embed(texts, normalize, deadline, truncation)
        if self._move_to(answer.model, process, before):
            for row, text in enumerate(texts):
                entry = (text, answer.rows([row]))  # a copy: a view of the answer would keep all of it
                if _entry_bytes(entry) <= self._vectors.maxsize:
                    self._vectors[(answer.model.version, normalize, truncation, text)] = entry
        return answer

    def _move_to(self, model: ServedModel, process: int | None, before: tuple[int, ServedModel] | None) -> bool:
        """Answers with this model's vectors from now on; `process` and `before` are of when the engine was asked.

        False where nothing may be remembered of the answer: the process is not surely the same, or a later answer came
        first and had another model, which stays.
        """
        if process is None or process != self._watch.process:
            return False
        if self._current not in (before, (process, model)):
            return False
        self._current = (process, model)
        return True
