"""One request's texts on their way through calls: which wait, which are under way, and what came back."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from proxy.embedding.base import Embeddings, Text, TruncationSide, join
from proxy.embedding.callers import caller
from proxy.embedding.costs import TokenCosts
from proxy.embedding.stage_times import NO_TIMES, StageTimes
from proxy.errors import EmbeddingError

# The part of its time that a large request lets smaller ones pass; then it gets more of each call.
_PATIENCE = 1 / 8

Group = tuple[bool, TruncationSide, type]  # what the texts of one call have in common


class PendingRequest:
    """One caller's texts. Made on the event loop, in the caller's own task."""

    def __init__(
        self,
        texts: Sequence[Text],
        normalize: bool,
        deadline: float,
        truncation: TruncationSide,
        costs: TokenCosts,
        max_tokens: int,
    ) -> None:
        """`max_tokens`: of a text, the most that the model computes."""
        self.texts = texts
        self.normalize = normalize
        self.deadline = deadline
        self.truncation: TruncationSide = truncation
        now = asyncio.get_running_loop().time()
        self.patient_until = now + (deadline - now) * _PATIENCE
        self.caller = caller()
        self.costs = [costs.estimate(text, max_tokens) for text in texts]
        # Shortest last, where they are taken from first: texts of a call are then of about equal length.
        self.waiting = sorted(range(len(texts)), key=self._size, reverse=True)
        self.done: asyncio.Future[Embeddings] = asyncio.get_running_loop().create_future()
        self._missing = set(range(len(texts)))
        self._stages = NO_TIMES
        self._idle_since = time.perf_counter()
        self._parts: list[tuple[Sequence[int], Embeddings]] = []  # places, and what came back for them

    @property
    def group(self) -> Group:
        """Requests of one group may share a call."""
        return self.normalize, self.truncation, type(self.texts[0])

    @property
    def is_small(self) -> bool:
        """Whether one text is left to send: letting it pass costs little."""
        return len(self.waiting) == 1

    def is_wanted(self, now: float) -> bool:
        """Whether anybody still waits for the answer."""
        return self.deadline > now and not self.done.done()

    def begin(self) -> None:
        """Some of its texts are under way: ends the time that they waited."""
        now = time.perf_counter()
        self._stages += StageTimes(queue=max(0.0, now - self._idle_since))
        self._idle_since = now

    def put(self, places: Sequence[int], answer: Embeddings, stages: StageTimes) -> None:
        """Takes the vectors of some of its texts, and the times of the call that they came with.

        Vectors of another model than this answer's are dropped, and their texts wait again.
        """
        if self.done.done():
            return
        self._stages += stages
        self._idle_since = time.perf_counter()
        again = [part for part in self._parts if part[1].model != answer.model]
        for others, _ in again:
            self.waiting.extend(others)
            self._missing.update(others)
        if again:
            self.waiting.sort(key=self._size, reverse=True)
        self._parts = [part for part in self._parts if part[1].model == answer.model] + [(places, answer)]
        self._missing.difference_update(places)
        if not self._missing:
            order = np.argsort([place for places, _ in self._parts for place in places])
            joined = join([part for _, part in self._parts]).rows(order)
            self.done.set_result(replace(joined, stages=self._stages))

    def fail(self, error: EmbeddingError) -> None:
        """Ends the request; its waiting texts are not sent."""
        self.waiting.clear()
        if not self.done.done():
            self.done.set_exception(error)

    def _size(self, place: int) -> tuple[int, int]:
        return self.costs[place], len(self.texts[place])
