"""The text cache: it answers for the same text, flag and model, and for nothing else."""

import asyncio

import numpy as np
import pytest

from proxy.embedding.base import Embeddings, Text, TruncationSide
from proxy.embedding.cache import CachingEmbedder
from proxy.embedding.deadline import DeadlineEmbedder
from proxy.errors import (
    DeadlineExceeded,
    EmbeddingError,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    UnexpectedModel,
)
from tests.fakes.fake_embedder import encode
from tests.fakes.slow_embedder import SlowEmbedder
from tests.waiting import until


class Setting:
    """A cache in front of a slow embedder, which was checked once."""

    def __init__(self, megabytes: int = 1, held: bool = False) -> None:
        self.engine = SlowEmbedder(held)
        self.cache = CachingEmbedder(self.engine, megabytes)

    async def __aenter__(self) -> "Setting":
        await self.cache.open()
        await self.check()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cache.close()

    async def check(self) -> None:
        await self.cache.check(asyncio.get_running_loop().time() + 10)

    async def embed(self, *texts: str, normalize: bool = True, seconds: float = 10) -> Embeddings:
        deadline = asyncio.get_running_loop().time() + seconds
        answer = await DeadlineEmbedder(self.cache).embed(texts, normalize, deadline)
        np.testing.assert_array_equal(answer.vectors, encode(texts, normalize))
        return answer


async def test_a_text_is_computed_once_for_single_and_batch() -> None:
    async with Setting() as setting:
        await setting.embed("a")
        await setting.embed("a")
        await setting.embed("b", "a", "c", "b")
        await setting.embed("c", "b", "a")
        assert setting.engine.calls == [["a"], ["b", "c"]]
        counts = setting.cache.counts
        assert (counts.misses, counts.hits, counts.texts) == (3, 6, 3)


@pytest.mark.parametrize("other", ["A", "a ", " a", "a\0", "à", "a\u0300"])
async def test_another_text_is_never_answered(other: str) -> None:
    async with Setting() as setting:
        await setting.embed("a")
        await setting.embed(other)
        assert setting.engine.calls == [["a"], [other]]


async def test_another_normalize_flag_is_never_answered() -> None:
    async with Setting() as setting:
        await setting.embed("a")
        await setting.embed("a", normalize=False)
        await setting.embed("a", normalize=False)
        assert len(setting.engine.calls) == 2


async def test_another_side_of_truncation_and_token_ids_are_never_answered() -> None:
    async with Setting() as setting:
        asked: list[tuple[Text, TruncationSide]] = [("(1,)", "right"), ("(1,)", "left"), ((1,), "right")]
        for text, side in [*asked, *asked]:
            deadline = asyncio.get_running_loop().time() + 10
            answer = await setting.cache.embed([text], True, deadline, side)
            np.testing.assert_array_equal(answer.vectors, encode([text], True, side))
        assert setting.engine.calls == [["(1,)"], ["(1,)"], [(1,)]]


@pytest.mark.parametrize("asked", ["text", "check"])
@pytest.mark.parametrize(
    ("failure", "goes_on"),
    [
        (EngineUnavailable("away"), False),
        (UnexpectedModel("another"), False),
        (EngineOverloaded("busy"), True),
        (DeadlineExceeded("busy"), True),
        (EngineFailed("no"), True),
    ],
)
async def test_nothing_is_remembered_of_an_engine_that_is_away(
    asked: str, failure: EmbeddingError, goes_on: bool
) -> None:
    async with Setting() as setting:
        await setting.embed("a")
        setting.engine.failures["other"] = setting.engine.check_failure = failure
        with pytest.raises(type(failure)):
            await (setting.embed("other") if asked == "text" else setting.check())
        setting.engine.check_failure = None
        calls = len(setting.engine.calls)
        await setting.embed("a")
        assert len(setting.engine.calls) == calls + (0 if goes_on else 1)
        await setting.embed("a")
        assert len(setting.engine.calls) == calls + (0 if goes_on else 1), "it is there again"


async def test_an_engine_that_ended_is_asked_again_and_what_it_was_asked_before_says_nothing() -> None:
    async with Setting() as setting:
        await setting.embed("a")
        setting.engine.hold()
        late = asyncio.create_task(setting.embed("late"))
        await until(lambda: len(setting.engine.calls) == 2)
        setting.cache.engine_ended()
        setting.engine.release()
        await late
        await setting.embed("a")
        assert setting.engine.calls == [["a"], ["late"], ["a"]]


async def test_what_each_of_two_models_computed_is_answered_while_it_is_the_current_one() -> None:
    async with Setting() as setting:
        one = setting.engine.served
        await setting.embed("a")
        setting.engine.serve_another_model()
        await setting.check()
        assert (await setting.embed("a")).model.name == "another", "the other model's own"
        setting.engine.served = one
        await setting.check()
        assert (await setting.embed("a")).model == one
        assert setting.engine.calls == [["a"], ["a"]]


async def test_another_model_takes_over() -> None:
    """A check finds it, without any text that was not remembered."""

    async with Setting() as setting:
        first = await setting.embed("a")
        setting.engine.serve_another_model()
        assert (await setting.embed("a")).model == first.model
        await setting.check()
        assert (await setting.embed("a")).model.name == "another"
        assert len(setting.engine.calls) == 2


async def test_remembered_vectors_are_never_put_beside_another_models() -> None:
    async with Setting() as setting:
        await setting.embed("a", "b")
        setting.engine.serve_another_model()
        answer = await setting.embed("a", "new", "b")
        assert answer.model.name == "another"
        assert setting.engine.calls == [["a", "b"], ["new"], ["a", "new", "b"]]


async def test_a_late_answer_of_the_model_before_does_not_bring_it_back() -> None:
    async with Setting() as setting:
        await setting.embed("a")
        setting.engine.hold()
        late = asyncio.create_task(setting.embed("late"))
        await until(lambda: len(setting.engine.calls) == 2)
        setting.engine.serve_another_model()
        await setting.check()
        setting.engine.release()
        assert (await late).model.name != "another"
        assert (await setting.embed("a")).model.name == "another"


async def test_identical_texts_in_flight_are_computed_once_in_any_order() -> None:
    async with Setting() as setting:
        await setting.embed("warm")
        setting.engine.hold()
        tasks = [asyncio.create_task(setting.embed(*texts)) for texts in (("a", "b"), ("b", "a"), ("a",), ("b", "c"))]
        for _ in range(20):
            await asyncio.sleep(0)
        assert setting.engine.calls[1:] == [["a", "b"], ["c"]]
        setting.engine.release()
        await asyncio.gather(*tasks)


async def test_a_caller_that_leaves_does_not_stop_the_others_and_the_last_does() -> None:
    async with Setting() as setting:
        await setting.embed("warm")
        setting.engine.hold()
        first, second = (asyncio.create_task(setting.embed("a")) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
        assert setting.engine.cancelled == 0
        second.cancel()
        await asyncio.sleep(0.01)
        assert setting.engine.cancelled == 1
        third = asyncio.create_task(setting.embed("a"))
        await asyncio.sleep(0.01)
        setting.engine.release()
        await third


async def test_a_shorter_deadline_than_that_of_the_computation_joined_holds() -> None:
    async with Setting() as setting:
        await setting.embed("warm")
        setting.engine.hold()
        patient = asyncio.create_task(setting.embed("a"))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await setting.embed("a", seconds=0.01)
        assert setting.engine.cancelled == 0
        setting.engine.release()
        await patient
        assert setting.engine.calls == [["warm"], ["a"]]


async def test_who_leaves_while_waiting_for_anothers_text_leaves_its_own_too() -> None:
    async with Setting() as setting:
        await setting.embed("warm")
        setting.engine.hold()
        first = asyncio.create_task(setting.embed("a"))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(setting.embed("a", "b"))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.sleep(0.01)
        assert setting.engine.calls[1:] == [["a"], ["b"]]
        assert setting.engine.cancelled == 1
        setting.engine.release()
        await first


async def test_anothers_deadline_and_failure() -> None:
    async with Setting() as setting:
        await setting.embed("warm")
        setting.engine.failures["a"] = DeadlineExceeded("the first one's")
        impatient = asyncio.create_task(setting.embed("a", seconds=-1))
        patient = asyncio.create_task(setting.embed("a"))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await impatient
        with pytest.raises(DeadlineExceeded):  # the engine raises it to everybody here
            await patient
        assert setting.engine.calls[-2:] == [["a"], ["a"]], "the patient one asked again"
        setting.engine.failures["a"] = EngineFailed("no")
        with pytest.raises(EngineFailed):
            await setting.embed("a")
        del setting.engine.failures["a"]
        await setting.embed("a")


async def test_it_stays_within_its_size_and_lets_the_oldest_go() -> None:
    async with Setting(megabytes=1) as setting:
        for number in range(4000):
            await setting.embed(f"text {number}")
        counts = setting.cache.counts
        assert counts.bytes <= counts.limit_bytes == 2**20
        assert 1000 < counts.texts < 4000
        before = len(setting.engine.calls)
        await setting.embed("text 3999")
        assert len(setting.engine.calls) == before
        await setting.embed("text 0")
        assert len(setting.engine.calls) == before + 1


async def test_a_text_larger_than_the_cache_is_answered() -> None:
    async with Setting(megabytes=1) as setting:
        await setting.embed("x" * 2**20)
        assert setting.cache.counts.texts == 0
