"""One request's texts on their way through calls: which wait, which are under way, and what came back."""

import asyncio
import time
from collections.abc import Sequence

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
        self._stages = NO_TIMES
        self._idle_since = time.perf_counter()
        self._answers: dict[str, _Answers] = {}  # by the model's identity; mostly of one alone
        self._under_way: set[int] = set()
        self._newest_goes_on = True  # whether the model of the newest answer is expected to answer next

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

    def take(self) -> int:
        """The place of the shortest text that waits, which goes into a call."""
        place = self.waiting.pop()
        self._under_way.add(place)
        return place

    def begin(self) -> None:
        """Some of its texts are under way: ends the time that they waited."""
        now = time.perf_counter()
        self._stages += StageTimes(queue=max(0.0, now - self._idle_since))
        self._idle_since = now

    def put(self, places: Sequence[int], answer: Embeddings, stages: StageTimes) -> None:
        """Takes the vectors of some of its texts, and the times of the call that they came with.

        The request ends with all of one model's vectors. What comes of two models is kept of both, and what one of them
        has not answered is asked for again.
        """
        if self.done.done():
            return
        self._stages += stages
        self._idle_since = time.perf_counter()
        self._under_way.difference_update(places)
        answers = self._answers.setdefault(answer.model.identity, _Answers())
        is_news = answers.put(places, answer)
        if len(answers.places) == len(self.texts):
            self.done.set_result(answers.joined().in_times(self._stages))
        elif len(self._answers) > 1:
            self._newest_goes_on ^= not is_news
            self._wait_for(answers if self._newest_goes_on else self._other_than(answers))

    def _other_than(self, newest: "_Answers") -> "_Answers":
        return max((each for each in self._answers.values() if each is not newest), key=lambda each: len(each.places))

    def _wait_for(self, answers: "_Answers") -> None:
        """What waits is what a model that answers some of the texts has not answered."""
        left = set(range(len(self.texts))) - answers.places - self._under_way
        self.waiting = sorted(left, key=self._size, reverse=True)

    def fail(self, error: EmbeddingError) -> None:
        """Ends the request; its waiting texts are not sent."""
        self.waiting.clear()
        if not self.done.done():
            self.done.set_exception(error)

    def _size(self, place: int) -> tuple[int, int]:
        return self.costs[place], len(self.texts[place])


class _Answers:
    """One model's vectors of a request's texts."""

    def __init__(self) -> None:
        self.places: set[int] = set()
        self._parts: list[tuple[Sequence[int], Embeddings]] = []

    def put(self, places: Sequence[int], answer: Embeddings) -> bool:
        """Takes those of some texts that it does not have; returns whether there are any."""
        rows = [row for row, place in enumerate(places) if place not in self.places]
        if len(rows) < len(places):
            places, answer = [places[row] for row in rows], answer.rows(rows)
        self.places.update(places)
        self._parts.append((places, answer))
        return bool(rows)

    def joined(self) -> Embeddings:
        """All, in the order of the texts."""
        joined = join([answer for _, answer in self._parts])
        order = [place for places, _ in self._parts for place in places]
        return joined if len(order) == 1 else joined.rows(np.argsort(order))
