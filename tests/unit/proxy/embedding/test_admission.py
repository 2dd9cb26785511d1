"""A bounded number of texts in hand: who is refused, and when a place is free again."""

import asyncio

import numpy as np
import pytest

from proxy.contract import MAX_TEXTS
from proxy.embedding.admission import AdmittingEmbedder
from proxy.embedding.base import Embeddings
from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.deadline import DeadlineEmbedder
from proxy.errors import DeadlineExceeded, EngineFailed, ServiceFull
from tests.fakes.fake_embedder import encode
from tests.fakes.slow_embedder import SlowEmbedder

PLACES = 10


def ask(admitting: AdmittingEmbedder, *texts: str, seconds: float = 10) -> "asyncio.Task[Embeddings]":
    deadline = asyncio.get_running_loop().time() + seconds
    return asyncio.create_task(DeadlineEmbedder(admitting).embed(texts, True, deadline))


async def turn() -> None:
    """Lets everything that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def numbered(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


async def test_what_would_go_past_the_places_is_refused_whole_and_at_once() -> None:
    engine = SlowEmbedder()
    admitting = AdmittingEmbedder(engine, PLACES, 10)
    held = [ask(admitting, *numbered(6)), ask(admitting, "a", "b")]
    await turn()
    assert admitting.free == 2
    with pytest.raises(ServiceFull):
        await ask(admitting, "c", "d", "e")
    last = ask(admitting, "c", "d")
    await turn()
    with pytest.raises(ServiceFull):
        await ask(admitting, "f")
    assert engine.calls == [numbered(6), ["a", "b"], ["c", "d"]], "of what is refused nothing is begun"
    engine.release()
    for task, texts in zip([*held, last], engine.calls, strict=True):
        np.testing.assert_array_equal((await task).vectors, encode(texts, True))
    assert admitting.free == PLACES


async def test_a_request_that_ends_in_any_way_gives_its_places_back() -> None:
    engine = SlowEmbedder()
    engine.failures["bad"] = EngineFailed("no")
    admitting = AdmittingEmbedder(BatchingEmbedder(engine, calls=1, tokens=64), PLACES, 10)
    answered, failed = ask(admitting, "good"), ask(admitting, "bad", "b")
    late, gone = ask(admitting, "late", "c", "d", seconds=0.01), ask(admitting, "gone", "e", "f", "g")
    await turn()
    assert admitting.free == 0
    with pytest.raises(DeadlineExceeded):
        await late
    assert admitting.free == 3
    gone.cancel()
    await turn()
    assert admitting.free == 7
    engine.release()
    await answered
    with pytest.raises(EngineFailed):
        await failed
    assert admitting.free == PLACES
    asked = {text for call in engine.calls for text in call}
    assert not asked & {"late", "c", "d", "gone", "e", "f", "g"}, "what nobody waits for is not asked"


async def test_a_full_service_is_still_well() -> None:
    engine = SlowEmbedder()
    admitting = AdmittingEmbedder(engine, PLACES, 10)
    held = ask(admitting, *numbered(PLACES))
    await turn()
    assert admitting.free == 0
    soon = asyncio.get_running_loop().time() + 10
    assert await admitting.check(soon) == await admitting.model(soon) == engine.served
    engine.release()
    await held


async def answered(admitting: AdmittingEmbedder, engine: SlowEmbedder, seconds: float) -> None:
    """One text that took so long."""
    engine.hold()
    task = ask(admitting, "learned")
    await asyncio.sleep(seconds)
    engine.release()
    await task
    engine.hold()


@pytest.mark.parametrize(("patience", "places"), [(1e-9, 64), (1e9, 200)], ids=["too slow", "fast enough"])
async def test_what_is_too_slow_for_its_deadlines_takes_on_less(patience: float, places: int) -> None:
    engine = SlowEmbedder()
    admitting = AdmittingEmbedder(engine, 200, patience)
    await answered(admitting, engine, 0)
    held = ask(admitting, "a", "b")
    await turn()
    assert admitting.free == places - 2
    engine.release()
    await held


async def test_with_nothing_in_hand_the_largest_batch_is_taken_however_slow_it_was() -> None:
    engine = SlowEmbedder()
    admitting = AdmittingEmbedder(engine, MAX_TEXTS, patience_seconds=1e-9)
    await answered(admitting, engine, 0)
    batch = ask(admitting, *numbered(MAX_TEXTS))
    await turn()
    assert not batch.done()
    with pytest.raises(ServiceFull):
        await ask(admitting, "a")
    engine.release()
    await batch


async def test_the_speed_is_learned_anew() -> None:
    engine = SlowEmbedder()
    admitting = AdmittingEmbedder(engine, 200, patience_seconds=1)
    await answered(admitting, engine, 0.05)  # 20 texts a second, at most
    held = ask(admitting, "a")
    await turn()
    assert admitting.free == 63
    engine.release()
    await held
    for _ in range(100):
        await ask(admitting, *numbered(10))
    engine.hold()
    held = ask(admitting, "a")
    await turn()
    assert admitting.free == 199
    engine.release()
    await held


async def timed_out(admitting: AdmittingEmbedder) -> None:
    """One text whose caller waited for nearly no time."""
    with pytest.raises(DeadlineExceeded):
        await ask(admitting, "impatient", seconds=0)


@pytest.mark.parametrize("timeouts", [1, 10, 1000])
async def test_a_timeout_never_raises_the_speed(timeouts: int) -> None:
    engine = SlowEmbedder()
    admitting = AdmittingEmbedder(BatchingEmbedder(engine, calls=1, tokens=64), 200, patience_seconds=1)
    await answered(admitting, engine, 0.05)  # 20 texts a second, at most
    for _ in range(timeouts):
        await timed_out(admitting)
    held = ask(admitting, "a")
    await turn()
    assert admitting.free == 63
    engine.release()
    await held


async def test_a_timeout_lowers_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SlowEmbedder(held=False)
    admitting = AdmittingEmbedder(engine, 200, patience_seconds=1)
    await ask(admitting, "fast")  # 1,000 texts a second, the most that is believed
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    engine.failures["late"] = DeadlineExceeded("late")
    engine.hold()
    for _ in range(40):
        late = ask(admitting, "late")
        await turn()
        now += 0.3
        engine.release()
        with pytest.raises(DeadlineExceeded):
            await late
        engine.hold()
    held = ask(admitting, "a")
    await turn()
    assert admitting.free == 63
    engine.release()
    await held


async def test_the_first_answer_counts_wholly_after_timeouts_alone() -> None:
    engine = SlowEmbedder()
    admitting = AdmittingEmbedder(BatchingEmbedder(engine, calls=1, tokens=64), 200, patience_seconds=1)
    for _ in range(10):
        await timed_out(admitting)
    await answered(admitting, engine, 0.05)
    held = ask(admitting, "a")
    await turn()
    assert admitting.free == 63
    engine.release()
    await held
