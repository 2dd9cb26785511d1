"""Where the time of a text goes: told by the engine, kept by batching, none for what the cache remembered."""

import asyncio
import doctest
from collections.abc import Sequence
from dataclasses import replace

from proxy.embedding.base import Embeddings, Text, TruncationSide
from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.cache import CachingEmbedder
from proxy.embedding.stage_times import NO_TIMES, StageTimes
from proxy.triton import step_spans
from proxy.triton.engine import TritonEmbedder
from tests.fakes.slow_embedder import SlowEmbedder
from tests.waiting import until

CALL = StageTimes(triton=1.0, tokenize=2.0, encode=3.0, pool=4.0)


class TimedEmbedder(SlowEmbedder):
    """Says of each call that it took `CALL`."""

    async def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Embeddings:
        return replace(await super().embed(texts, normalize, deadline, truncation), stages=CALL)


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(step_spans).failed == 0


async def test_the_engine_tells_the_time_of_each_step(embedder: TritonEmbedder) -> None:
    stages = (await embedder.embed(["a", "b"], True, soon())).stages
    assert (stages.tokenize, stages.encode, stages.pool) == (10e-6, 60e-6, 20e-6)
    assert stages.triton > 0


async def test_a_request_that_shares_a_call_has_its_times_and_its_own_wait() -> None:
    engine = TimedEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=64)
    asked = [asyncio.ensure_future(batching.embed([text], True, soon())) for text in ("a", "b", "c")]
    await until(lambda: engine.calls == [["a"]])
    engine.release()
    first, *others = [answer.stages for answer in await asyncio.gather(*asked)]
    assert engine.calls == [["a"], ["b", "c"]]
    for stages in (first, *others):
        assert replace(stages, queue=0.0) == CALL
    assert all(stages.queue > first.queue for stages in others)


async def test_a_request_of_several_calls_has_their_sum() -> None:
    engine = TimedEmbedder(held=False)
    stages = (await BatchingEmbedder(engine, calls=1, tokens=8).embed(["a"] * 10, True, soon())).stages
    assert len(engine.calls) > 1
    assert stages.pool == len(engine.calls) * CALL.pool


async def test_what_is_remembered_took_no_time() -> None:
    cache = CachingEmbedder(TimedEmbedder(held=False), megabytes=1)
    await cache.open()
    await cache.check(soon())
    for texts, stages in ((["a"], CALL), (["a"], NO_TIMES), (["a", "b", "c"], CALL)):
        assert (await cache.embed(texts, True, soon())).stages == stages
    await cache.close()
