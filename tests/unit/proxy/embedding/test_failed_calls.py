"""A call that fails: whose fault it is falls on them alone, in few calls, and nobody is left hanging."""

import asyncio
import logging
import struct

import numpy as np
import pytest

from proxy.embedding.base import Embeddings, Text
from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.deadline import DeadlineEmbedder
from proxy.errors import DeadlineExceeded, EngineFailed, InvalidText
from tests.fakes.fake_embedder import encode
from tests.fakes.slow_embedder import SlowEmbedder
from tests.waiting import until


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


def ask(batching: BatchingEmbedder, *texts: Text) -> "asyncio.Task[Embeddings]":
    return asyncio.create_task(DeadlineEmbedder(batching).embed(texts, True, soon()))


def invalid(text: Text, named: bool = True) -> InvalidText:
    error = InvalidText("refused")
    error.text = text if named else None
    return error


async def joined(engine: SlowEmbedder, *texts: Text) -> list["asyncio.Task[Embeddings]"]:
    """So many requests of one text each, in one call that the engine holds."""
    engine.hold()
    batching = BatchingEmbedder(engine, calls=1, tokens=4096)
    first = ask(batching, "first")
    await until(lambda: len(engine.calls) == 1)
    tasks = [ask(batching, text) for text in texts]
    await asyncio.sleep(0)
    engine.release()
    await first
    await until(lambda: len(engine.calls) >= 2)
    assert engine.calls[1] == list(texts)
    return tasks


NUMBERED = [f"text {number}" for number in range(40)]


@pytest.mark.parametrize("place", [0, 17, 40])
async def test_a_text_that_the_engine_names_is_left_out_of_one_more_call(place: int) -> None:
    engine = SlowEmbedder()
    engine.failures["bad"] = invalid("bad")
    texts = [*NUMBERED[:place], "bad", *NUMBERED[place:]]
    results = await asyncio.gather(*await joined(engine, *texts), return_exceptions=True)
    for text, result in zip(texts, results, strict=True):
        if text == "bad":
            assert isinstance(result, InvalidText)
        else:
            assert isinstance(result, Embeddings)
            np.testing.assert_array_equal(result.vectors, encode([text], True))
    assert len(engine.calls) == 3


async def test_all_that_sent_the_named_text_fail_at_once() -> None:
    engine = SlowEmbedder()
    engine.failures["bad"] = invalid("bad")
    results = await asyncio.gather(*await joined(engine, "a", "bad", "b", "bad", "bad"), return_exceptions=True)
    assert [isinstance(result, InvalidText) for result in results] == [False, True, False, True, True]
    assert engine.calls[2:] == [["a", "b"]]


@pytest.mark.parametrize("error", [EngineFailed("no"), invalid("bad", named=False)], ids=["failed", "not named"])
@pytest.mark.parametrize("place", [0, 17, 40])
async def test_what_the_engine_trips_over_is_found_by_halving(error: Exception, place: int) -> None:
    engine = SlowEmbedder()
    engine.failures["bad"] = error
    texts = [*NUMBERED[:place], "bad", *NUMBERED[place:]]
    results = await asyncio.gather(*await joined(engine, *texts), return_exceptions=True)
    assert [text for text, result in zip(texts, results, strict=True) if isinstance(result, Exception)] == ["bad"]
    assert len(engine.calls) - 2 <= 12, "two for each halving of 41"


async def test_an_engine_that_fails_on_everything_is_not_asked_for_each_request() -> None:
    engine = SlowEmbedder()
    engine.failures.update({text: EngineFailed("no") for text in NUMBERED})
    results = await asyncio.gather(*await joined(engine, *NUMBERED), return_exceptions=True)
    assert all(isinstance(result, EngineFailed) for result in results)
    assert len(engine.calls) <= 20


async def test_requests_that_nobody_waits_for_are_not_sent_again() -> None:
    engine = SlowEmbedder()
    engine.failures["bad"] = invalid("bad")
    batching = BatchingEmbedder(engine, calls=1, tokens=4096)
    first = ask(batching, "first")
    await until(lambda: len(engine.calls) == 1)
    loop = asyncio.get_running_loop()
    tasks = [ask(batching, "gone"), ask(batching, "bad"), ask(batching, "stays")]
    late = asyncio.create_task(DeadlineEmbedder(batching).embed(["late"], True, loop.time() + 0.05))
    await asyncio.sleep(0)
    engine.release()
    await first
    engine.hold()  # the call with the bad text
    await until(lambda: len(engine.calls) == 2)
    tasks[0].cancel()
    with pytest.raises(DeadlineExceeded):
        await late
    engine.release()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert engine.calls[1:] == [["gone", "bad", "stays", "late"], ["stays"]]


@pytest.mark.parametrize("error", [struct.error("unpack"), ValueError("a bug"), RecursionError("a bug")])
async def test_an_error_that_nobody_expected_ends_the_call_and_starts_the_next(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    engine = SlowEmbedder()
    engine.failures["bug"] = error
    with caplog.at_level(logging.ERROR):
        tasks = await joined(engine, "a", "bug", "b")
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [type(result) for result in results] == [EngineFailed] * 3
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error], "one traceback"
    assert len(engine.calls) == 2


async def test_an_error_in_putting_together_leaves_nobody_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SlowEmbedder(held=False)
    batching = BatchingEmbedder(engine, calls=1, tokens=4096)

    def broken(*_: object) -> Embeddings:
        raise IndexError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(Embeddings, "piece", broken)
        with pytest.raises(EngineFailed):
            await asyncio.wait_for(ask(batching, "a"), 5)
    await asyncio.wait_for(ask(batching, "b"), 5)
