"""Joins texts that wait into calls of bounded size, and shares each call between the requests that wait.

While a call is under way, what arrives waits, and goes into the next one: many small requests cost one pass through
the engine. A large request is cut into pieces, so that a small one never waits for all of it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from proxy.deadlines import until
from proxy.embedding.base import AroundEmbedder, Embedder, Embeddings, Text, TruncationSide, join
from proxy.embedding.callers import called_for, caller
from proxy.embedding.stage_times import NO_TIMES, StageTimes
from proxy.errors import EmbeddingError, EngineFailed, InvalidText

# Characters for one token, about, in Korean and English; only the balance of calls depends on it.
_CHARACTERS_PER_TOKEN = 2
_SPECIAL_TOKENS = 2

# The engine takes no larger batch (`max_batch_size` in model_repository/), however short the texts are.
_MOST_TEXTS = 128

# Of a call's tokens, what a large request gets while others are there: one in so many.
_PART = 8

# Of a request's time, what it may spend letting smaller ones pass; then it is served before all that came later.
_PATIENCE = 1 / 8


def _tokens(text: Text) -> int:
    """About how many there are in it."""
    return (len(text) // _CHARACTERS_PER_TOKEN if isinstance(text, str) else len(text)) + _SPECIAL_TOKENS


class _Request:
    """One caller's texts: which wait, which are under way, and what came back."""

    def __init__(
        self,
        texts: Sequence[Text],
        normalize: bool,
        deadline: float,
        longest_tokens: int,
        truncation: TruncationSide = "right",
    ) -> None:
        self.texts = texts
        self.normalize = normalize
        self.deadline = deadline
        self.truncation = truncation
        now = asyncio.get_running_loop().time()
        self.patient_until = now + (deadline - now) * _PATIENCE
        self.caller = caller()
        self.costs = [min(_tokens(text), longest_tokens) for text in texts]
        # Shortest last, where they are taken from first: texts of a call are then of about equal length.
        self.waiting = sorted(range(len(texts)), key=self.costs.__getitem__, reverse=True)
        self.missing = set(range(len(texts)))
        self.stages = NO_TIMES
        self.idle_since = time.perf_counter()
        self.parts: list[tuple[Sequence[int], Embeddings]] = []  # places, and what came back for them
        self.done: asyncio.Future[Embeddings] = asyncio.get_running_loop().create_future()

    def may_share_with(self, other: "_Request") -> bool:
        """Whether both ask for the same thing, so that one call can be for both."""
        return (self.normalize, self.truncation, type(self.texts[0])) == (
            other.normalize,
            other.truncation,
            type(other.texts[0]),
        )

    def begin(self) -> None:
        """Some of its texts are under way: what they waited is over."""
        now = time.perf_counter()
        self.stages += StageTimes(queue=max(0.0, now - self.idle_since))
        self.idle_since = now

    def put(self, places: Sequence[int], answer: Embeddings, stages: StageTimes) -> None:
        """Takes the vectors of some of its texts, and the times of the call that they came with.

        Another model than before: what came from that one is let go, and its texts wait again.
        """
        if self.done.done():
            return
        self.stages += stages
        self.idle_since = time.perf_counter()
        again = [part for part in self.parts if part[1].model != answer.model]
        for others, _ in again:
            self.waiting.extend(others)
            self.missing.update(others)
        if again:
            self.waiting.sort(key=self.costs.__getitem__, reverse=True)
        self.parts = [part for part in self.parts if part[1].model == answer.model] + [(places, answer)]
        self.missing.difference_update(places)
        if not self.missing:
            order = np.argsort([place for places, _ in self.parts for place in places])
            joined = join([part for _, part in self.parts]).rows(order)
            self.done.set_result(replace(joined, stages=self.stages))

    def fail(self, error: EmbeddingError) -> None:
        """Ends the request; what of it still waits is not asked for."""
        self.waiting.clear()
        if not self.done.done():
            self.done.set_exception(error)


_Call = list[tuple[_Request, list[int]]]


class BatchingEmbedder(AroundEmbedder):
    """An `Embedder` around another one, which it gives at most `calls` calls of about `tokens` tokens at a time."""

    def __init__(
        self, engine: Embedder, calls: int, tokens: int, tell_call: Callable[[int], None] = lambda _: None
    ) -> None:
        """`tell_call`: is told how many texts a call has, when it is sent."""
        super().__init__(engine)
        self._tell_call = tell_call
        self._calls = calls
        self._tokens = tokens
        self._waiting: dict[_Request, None] = {}  # in order of arrival
        self._shared = False  # whether the last call was of several requests
        self._under_way: set[asyncio.Task[None]] = set()

    async def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Embeddings:
        """One vector for each text. A caller that goes away takes its waiting texts along."""
        request = _Request(texts, normalize, deadline, self._tokens, truncation)
        self._waiting[request] = None
        self._start_calls()
        try:
            async with until(deadline):
                return await request.done
        finally:
            self._waiting.pop(request, None)

    def _start_calls(self) -> None:
        self._drop_overdue()
        while self._waiting and len(self._under_way) < self._calls:
            task = asyncio.create_task(self._run(self._next_call()))
            self._under_way.add(task)
            task.add_done_callback(self._call_ended)

    def _drop_overdue(self) -> None:
        """Forgets requests whose deadline has passed, though their callers may not have had their turn to notice."""
        now = asyncio.get_running_loop().time()
        for request in [request for request in self._waiting if request.deadline <= now or request.done.done()]:
            del self._waiting[request]

    def _call_ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        task.result()  # `_run` raises nothing but what must be seen
        self._start_calls()

    def _next_call(self) -> _Call:
        """Takes texts out of the waiting requests.

        The oldest request gets its part of the call first, so that it is never passed for ever; then the smallest
        requests, which cost least to let pass. Alone, a request gets the whole call; but where others were in the
        call before, they are about to ask again, and what they will wait for is kept short. Requests that have let
        others pass for long enough come first, in order of arrival, and wholly: under a flood of small ones the large
        ones would else wait until their deadline.
        """
        oldest = next(iter(self._waiting))
        others = [request for request in self._waiting if request is not oldest and request.may_share_with(oldest)]
        call: _Call = []
        now = asyncio.get_running_loop().time()
        whole = oldest.patient_until <= now or (not others and not self._shared)
        left = self._tokens - self._take(oldest, self._tokens // (1 if whole else _PART), call, at_least=1)
        for request in sorted(others, key=lambda request: 0 if request.patient_until <= now else len(request.waiting)):
            if left <= 0:
                break
            small = len(request.waiting) == 1 or request.patient_until <= now
            left -= self._take(request, left if small else min(left, self._tokens // _PART), call, at_least=0)
        self._shared = len(call) > 1
        return call

    def _take(self, request: _Request, tokens: int, call: _Call, at_least: int) -> int:
        """Moves texts of `request` into `call`, up to `tokens` tokens; answers how many tokens they are about."""
        taken: list[int] = []
        cost = 0
        room = _MOST_TEXTS - sum(len(places) for _, places in call)
        while (
            request.waiting
            and len(taken) < room
            and (len(taken) < at_least or cost + request.costs[request.waiting[-1]] <= tokens)
        ):
            place = request.waiting.pop()
            taken.append(place)
            cost += request.costs[place]
        if taken:
            call.append((request, taken))
        if not request.waiting:
            self._waiting.pop(request, None)
        return cost

    async def _run(self, call: _Call) -> None:
        first = call[0][0]
        texts = [request.texts[place] for request, places in call for place in places]
        deadline = max(request.deadline for request, _ in call)
        self._tell_call(len(texts))
        for request, _ in call:
            request.begin()
        try:
            # A task of its own, started by whichever request or call came before.
            with called_for([request.caller for request, _ in call]):
                answer = await self._embedder.embed(texts, first.normalize, deadline, first.truncation)
        except (EngineFailed, InvalidText) as error:
            if len(call) == 1:
                first.fail(error)
                return
            # One request's texts may be what the engine trips over: the others must not fall with it.
            for part in call:
                await self._run([part])
        except EmbeddingError as error:
            for request, _ in call:
                request.fail(error)
        else:
            start = 0
            for request, places in call:
                request.put(places, answer.rows(range(start, start + len(places))), answer.stages)
                start += len(places)
                if request.waiting and not request.done.done():
                    self._waiting.setdefault(request)
