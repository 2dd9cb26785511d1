"""Joining what waits into calls of bounded size."""

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from proxy.embedding.base import Embeddings, Text, TruncationSide
from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.deadline import DeadlineEmbedder
from proxy.embedding.model import ServedModel
from proxy.errors import DeadlineExceeded, EngineFailed, EngineUnavailable
from tests.fakes.fake_embedder import MODEL, encode
from tests.fakes.slow_embedder import SlowEmbedder

TOKENS = 64


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


async def turn() -> None:
    """Lets everything that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def ask(batching: BatchingEmbedder, *texts: str, normalize: bool = True) -> "asyncio.Task[Embeddings]":
    return asyncio.create_task(DeadlineEmbedder(batching).embed(texts, normalize, soon()))


def assert_vectors(answer: Embeddings, *texts: str, normalize: bool = True) -> None:
    np.testing.assert_array_equal(answer.vectors, encode(texts, normalize))
    assert answer.model == MODEL


async def test_what_waits_shares_the_next_call() -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    tasks = [ask(batching, f"text {number}") for number in range(6)]
    await turn()
    assert engine.calls == [["text 0"]], "the first goes at once, alone"
    engine.release()
    for number, answer in enumerate(await asyncio.gather(*tasks)):
        assert_vectors(answer, f"text {number}")
    assert sorted(map(len, engine.calls)) == [1, 5]


@pytest.mark.parametrize("calls", [1, 2, 3])
async def test_never_more_calls_than_allowed(calls: int) -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls, TOKENS)
    tasks = [ask(batching, f"text {number}") for number in range(8)]
    await turn()
    assert len(engine.calls) == calls
    engine.release()
    await asyncio.gather(*tasks)


async def test_a_large_request_is_cut_and_put_together_in_order() -> None:
    engine = SlowEmbedder(held=False)
    batching = BatchingEmbedder(engine, calls=2, tokens=TOKENS)
    texts = [f"{'long ' * (number % 7)}text {number}" for number in range(100)]
    assert_vectors(await ask(batching, *texts), *texts)
    assert len(engine.calls) > 5
    assert sorted(text for call in engine.calls for text in call) == sorted(texts), "each text once"
    for call in engine.calls:
        assert sum(len(text) // 2 + 2 for text in call) <= TOKENS


async def test_a_text_larger_than_a_call_goes_alone() -> None:
    engine = SlowEmbedder(held=False)
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    text = "x" * 5000
    assert_vectors(await ask(batching, text, text + "y"), text, text + "y")
    assert len(engine.calls) == 2


async def test_no_call_has_more_texts_than_the_models_batch() -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=512)
    tasks = [ask(batching, f"{number:x}") for number in range(300)]
    await turn()
    engine.release()
    for number, answer in enumerate(await asyncio.gather(*tasks)):
        assert_vectors(answer, f"{number:x}")
    assert max(map(len, engine.calls)) == 128, "the repository's max_batch_size"


async def test_small_requests_pass_a_large_one_which_goes_on_too() -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    large = ask(batching, *(f"of the large {number}" for number in range(100)))
    await turn()
    small = ask(batching, "small")
    await turn()
    engine.release()
    assert_vectors(await small, "small")
    assert not large.done(), "the small one did not wait for all of the large one"
    await large
    second = engine.calls[1]
    assert "small" in second
    assert len(second) > 1, "the large one has its part of each call"


async def test_a_large_request_that_waited_for_long_gets_half_of_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    first = ask(batching, "first")
    await turn()
    waiting = [ask(batching, *(f"{letter} {number}" for number in range(12))) for letter in "ab"]
    waiting += [ask(batching, f"small {number}") for number in range(30)]
    await turn()
    late = asyncio.get_running_loop().time() + 5
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: late)
    engine.release()
    await asyncio.gather(first, *waiting)
    initials = ["".join(str(text)[0] for text in call) for call in engine.calls[1:]]
    assert initials[0].count("a") == 10, "the oldest has half of the call's tokens"
    assert initials[0].count("s") == 6, "and small ones the other half"
    assert initials[1].count("a") == 2
    assert initials[2].count("b") == 10, "then the next oldest"


async def test_other_normalize_is_another_call() -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    tasks = [ask(batching, "a", normalize=flag) for flag in (True, True, False, True)]
    await turn()
    engine.release()
    answers = await asyncio.gather(*tasks)
    for answer, flag in zip(answers, (True, True, False, True), strict=True):
        assert_vectors(answer, "a", normalize=flag)


async def test_another_side_of_truncation_and_token_ids_are_other_calls() -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    first = ask(batching, "first")
    await turn()
    asked: list[tuple[list[Text], TruncationSide]] = [
        (["a"], "right"), (["a"], "left"), ([(1, 2)], "right"), (["b"], "right"), ([(1,), (3,)], "right"),
    ]  # fmt: skip
    tasks = [asyncio.create_task(DeadlineEmbedder(batching).embed(texts, True, soon(), side)) for texts, side in asked]
    await turn()
    engine.release()
    await first
    for task, (texts, side) in zip(tasks, asked, strict=True):
        np.testing.assert_array_equal((await task).vectors, encode(texts, True, side))
    assert [sorted(call, key=str) for call in engine.calls[1:]] == [["a"], [(1, 2), (1,), (3,)], ["a", "b"]]


async def test_one_requests_bad_text_fails_alone() -> None:
    engine = SlowEmbedder()
    engine.failures["bad"] = EngineFailed("no")
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    tasks = [ask(batching, "first"), ask(batching, "good"), ask(batching, "bad"), ask(batching, "fine")]
    await turn()
    engine.release()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, EngineFailed) for result in results] == [False, False, True, False]
    assert ["good", "bad", "fine"] in engine.calls, "they did share a call at first"


async def test_an_engine_that_is_away_fails_all_of_a_call_once() -> None:
    engine = SlowEmbedder(held=False)
    engine.failures["a"] = EngineUnavailable("away")
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    with pytest.raises(EngineUnavailable):
        await ask(batching, "a", "b")
    assert len(engine.calls) == 1
    assert_vectors(await ask(batching, "c"), "c")


async def test_a_deadline_ends_the_wait_and_takes_the_texts_along() -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    first = ask(batching, "first")
    await turn()
    with pytest.raises(DeadlineExceeded):
        await DeadlineEmbedder(batching).embed(["late"], True, asyncio.get_running_loop().time() + 0.01)
    gone = ask(batching, "gone")
    await turn()
    gone.cancel()
    await turn()
    engine.release()
    await first
    await turn()
    assert engine.calls == [["first"]], "what nobody waits for is not asked"


async def test_what_is_overdue_is_not_asked_even_before_its_caller_noticed() -> None:
    engine = SlowEmbedder(held=False)
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    with pytest.raises(DeadlineExceeded):
        await DeadlineEmbedder(batching).embed(["overdue"], True, asyncio.get_running_loop().time())
    await turn()
    assert engine.calls == []
    assert_vectors(await ask(batching, "next"), "next")


async def test_pieces_of_two_models_are_never_put_together() -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    texts = [f"text {number}" for number in range(50)]
    large = ask(batching, *texts)
    await turn()
    (of_the_first_model,) = engine.calls
    engine.serve_another_model()
    engine.release()
    answer = await large
    assert answer.model == engine.served
    np.testing.assert_array_equal(answer.vectors, encode(texts, True))
    asked_again = [text for call in engine.calls[1:] for text in call]
    assert sorted(asked_again) == sorted(texts), "all of it by the second model, and none of it twice"
    assert set(of_the_first_model) < set(asked_again)


def in_turn(models: Sequence[ServedModel], chance: random.Random | None = None) -> Iterator[ServedModel]:
    """Whose answer is next, as a balancer deals out requests: one after the other, or at random."""
    for number in itertools.count():
        yield models[number % len(models)] if chance is None else chance.choice(models)


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("chance", [None, random.Random(1), random.Random(2)], ids=["in turn", "random", "random too"])
async def test_a_large_request_over_two_models_needs_not_many_times_its_calls(
    calls: int, chance: random.Random | None
) -> None:
    models = (MODEL, replace(MODEL, name="another", identity=32 * "f"))
    engine = AlternatingEmbedder(in_turn(models, chance))
    texts = [f"text {number}" for number in range(200)]
    answer = await ask(BatchingEmbedder(engine, calls, TOKENS), *texts)
    np.testing.assert_array_equal(answer.vectors, signed(texts, answer.model))
    pieces = len(texts) * 5 / TOKENS
    assert len(engine.calls) < 4 * pieces


def signed(texts: Sequence[Text], model: ServedModel) -> NDArray[np.float32]:
    """The second model's vectors are the first one's the other way round."""
    return encode(texts, True) * np.float32(1 if model == MODEL else -1)


class AlternatingEmbedder(SlowEmbedder):
    """Each answer is of the next of some models."""

    def __init__(self, models: Iterator[ServedModel]) -> None:
        super().__init__(held=False)
        self._models = models

    async def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Embeddings:
        answer = await super().embed(texts, normalize, deadline, truncation)
        model = next(self._models)
        return replace(answer, vectors=signed(texts, model), model=model)
