"""Requests that wait for one computation: who is told of its failure, and who asks once more, together."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from proxy.embedding.base import Embeddings
from proxy.embedding.flights import Flights
from proxy.errors import DeadlineExceeded, EngineUnavailable, InvalidText, ServiceFull
from tests.fakes.fake_embedder import embed
from tests.waiting import until

Key = tuple[str, str]


class Engine:
    """Computes what is asked when it is released, or fails: the first call with `failures[0]`, and so on."""

    def __init__(self, *failures: Exception | None) -> None:
        self.calls: list[tuple[list[str], float]] = []  # texts, deadline
        self.cancelled = 0
        self.flights: Flights[Key] = Flights(self._compute)
        self._failures = list(failures)
        self._gates: list[asyncio.Event] = []

    async def _compute(self, keys: Sequence[Key], deadline: float) -> Embeddings:
        texts = [text for _, text in keys]
        self.calls.append((texts, deadline))
        failure = self._failures.pop(0) if self._failures else None
        gate = asyncio.Event()
        self._gates.append(gate)
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if failure is not None:
            raise failure
        return embed(texts, True)

    async def release(self, call: int) -> None:
        await until(lambda: len(self._gates) > call)
        self._gates[call].set()

    def ask(self, *texts: str, seconds: float = 10) -> "asyncio.Task[Embeddings]":
        """Starts or joins the computation of these texts, as one request."""
        return asyncio.create_task(self._ask([("model", text) for text in texts], seconds))

    async def _ask(self, keys: Sequence[Key], seconds: float) -> Embeddings:
        deadline = asyncio.get_running_loop().time() + seconds
        flying = [key for key in keys if key in self.flights]
        passengers = self.flights.join(flying, deadline)
        if missing := [key for key in keys if key not in self.flights]:
            passengers.append(self.flights.start(missing, deadline))
        found: dict[Key, Embeddings] = {}
        try:
            for passenger in passengers:
                answer, rows = await passenger.answer()
                found.update((key, answer.rows([row])) for key, row in zip(passenger.keys, rows, strict=True))
        finally:
            for passenger in passengers:
                self.flights.leave(passenger)
        vectors = np.concatenate([found[key].vectors for key in keys])
        np.testing.assert_array_equal(vectors, embed([text for _, text in keys], True).vectors)
        return found[keys[0]]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def refused(text: str | None) -> InvalidText:
    error = InvalidText("refused")
    error.text = text
    return error


@pytest.mark.parametrize(
    "failure",
    [DeadlineExceeded("its own"), ServiceFull("no room"), EngineUnavailable("away"), ValueError("a bug"), refused("b")],
    ids=lambda failure: type(failure).__name__,
)
async def test_fifty_that_joined_ask_once_more_together_with_the_longest_deadline(failure: Exception) -> None:
    engine = Engine(failure)
    first = engine.ask("a", "b", seconds=1)
    await turns()
    joined = [engine.ask("a", seconds=2 + number) for number in range(50)]
    await turns()
    await engine.release(0)
    with pytest.raises(type(failure)):
        await first
    await engine.release(1)
    await asyncio.gather(*joined)
    assert [texts for texts, _ in engine.calls] == [["a", "b"], ["a"]]
    assert engine.calls[1][1] - engine.calls[0][1] == pytest.approx(50, abs=0.5)


@pytest.mark.parametrize("named", [True, False])
async def test_the_joined_texts_own_fault_is_shared(named: bool) -> None:
    engine = Engine(refused("a" if named else None))
    asked = [engine.ask("a") for _ in range(50)]
    await turns()
    await engine.release(0)
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(result, InvalidText) for result in results)
    assert len(engine.calls) == 1


async def test_a_bad_text_beside_the_joined_ones_is_not_theirs() -> None:
    engine = Engine(refused("bad"))
    first = engine.ask("a", "bad", "c")
    await turns()
    a, bad, c, both = engine.ask("a"), engine.ask("bad"), engine.ask("c"), engine.ask("a", "bad")
    await turns()
    await engine.release(0)
    await engine.release(1)
    await asyncio.gather(a, c)
    for task in (first, bad, both):
        with pytest.raises(InvalidText):
            await task
    assert [texts for texts, _ in engine.calls] == [["a", "bad", "c"], ["a", "c"]]


async def test_a_failure_of_the_one_they_asked_for_themselves_ends_it() -> None:
    engine = Engine(EngineUnavailable("away"), EngineUnavailable("still away"))
    asked = [engine.ask("a") for _ in range(50)]
    await turns()
    await engine.release(0)
    await engine.release(1)
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(result) for result in results] == ["away"] + ["still away"] * 49
    assert len(engine.calls) == 2


async def test_who_joins_the_second_one_is_served_by_a_third() -> None:
    engine = Engine(EngineUnavailable("away"), EngineUnavailable("still away"))
    asked = [engine.ask("a"), engine.ask("a")]
    await turns()
    await engine.release(0)
    await until(lambda: len(engine.calls) == 2)
    late = engine.ask("a")
    await turns()
    await engine.release(1)
    await engine.release(2)
    await late
    assert all(isinstance(result, EngineUnavailable) for result in await asyncio.gather(*asked, return_exceptions=True))


async def test_whose_deadline_is_over_takes_no_part_in_the_new_one() -> None:
    engine = Engine(DeadlineExceeded("late"))
    asked = [engine.ask("a", seconds=seconds) for seconds in (1, -1, -1)]
    await turns()
    await engine.release(0)
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(result, DeadlineExceeded) for result in results)
    assert len(engine.calls) == 1


async def test_the_last_to_leave_the_new_one_stops_it() -> None:
    engine = Engine(EngineUnavailable("away"))
    asked = [engine.ask("a") for _ in range(3)]
    await turns()
    await engine.release(0)
    await until(lambda: len(engine.calls) == 2)
    with pytest.raises(EngineUnavailable):
        await asked[0]
    for task in asked[1:]:
        assert engine.cancelled == 0
        task.cancel()
        await turns()
    assert engine.cancelled == 1
    assert ("model", "a") not in engine.flights


async def test_what_failed_is_joined_by_nobody() -> None:
    engine = Engine(EngineUnavailable("away"))
    first = engine.ask("a")
    await turns()
    await engine.release(0)
    with pytest.raises(EngineUnavailable):
        await first
    second = engine.ask("a")
    await engine.release(1)
    await second
