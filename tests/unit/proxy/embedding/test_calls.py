"""Which texts share a call: nobody's batch makes another's single text wait for more than two calls."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from proxy.embedding.base import Embeddings, Text, TruncationSide
from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.deadline import DeadlineEmbedder
from tests.fakes.fake_embedder import MODEL, encode
from tests.fakes.slow_embedder import SlowEmbedder
from tests.waiting import until

TOKENS = 512


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


def ask(
    batching: BatchingEmbedder, *texts: Text, normalize: bool = True, truncation: TruncationSide = "right"
) -> "asyncio.Task[Embeddings]":
    return asyncio.create_task(DeadlineEmbedder(batching).embed(texts, normalize, soon(), truncation))


class SteppedEmbedder(SlowEmbedder):
    """Answers one held call at a time."""

    async def step(self) -> None:
        """Answers the call under way; the next one, if there is more to do, is then under way."""
        before = len(self.calls)
        self.release()
        await asyncio.sleep(0)
        self.hold()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(self.calls) <= before + 1


def batch(characters: int, count: int = 100) -> list[str]:
    return [f"{number:04}".ljust(characters, "x") for number in range(count)]


@pytest.mark.parametrize("limit", [128, 256, 512, 8192])
@pytest.mark.parametrize("characters", [4, 900, 1000, 200_000])
@pytest.mark.parametrize("count", [100, 2048])
@pytest.mark.parametrize("batches", [1, 3])
async def test_a_single_text_waits_for_two_calls_at_most(
    limit: int, characters: int, count: int, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if characters * count > 10**7:
        count = 50
    engine = SteppedEmbedder()
    engine.served = replace(MODEL, max_seq_length=limit)
    monkeypatch.setattr("tests.fakes.slow_embedder.embed", answer_quickly)
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    texts = batch(characters, count)
    large = [ask(batching, *texts) for _ in range(batches)]
    await until(lambda: len(engine.calls) == 1)
    for number in range(5):
        await engine.step()
        single = ask(batching, f"single {number}")
        for _ in range(2):
            assert not single.done()
            await engine.step()
        await asyncio.wait_for(single, 5)
    for task in large:
        task.cancel()
    await asyncio.gather(*large, return_exceptions=True)


def answer_quickly(texts: list[Text], normalize: bool, model: object, truncation: TruncationSide) -> Embeddings:  # noqa: ARG001
    """Zeros: the vectors of texts of many characters take long to make up."""
    counts = [(len(text) // 4 if isinstance(text, str) else len(text)) + 2 for text in texts]
    return Embeddings(np.zeros((len(texts), 16), np.float32), np.array(counts, np.int32), model)  # type: ignore[arg-type]


async def test_a_single_text_passes_a_batch_of_another_kind() -> None:
    engine = SteppedEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    large = ask(batching, *batch(1000))
    await until(lambda: len(engine.calls) == 1)
    others = [
        ask(batching, "single", normalize=False),
        ask(batching, (5, 6)),
        ask(batching, "single", truncation="left"),
    ]
    for _ in range(1 + len(others)):
        await engine.step()
    await asyncio.gather(*others)
    assert not large.done()
    engine.release()
    await large


async def test_there_is_no_cliff_in_the_length_of_a_batchs_texts() -> None:
    calls = []
    for characters in (800, 900, 1000, 1100, 5000):
        engine = SlowEmbedder(held=False)
        await ask(BatchingEmbedder(engine, calls=1, tokens=TOKENS), *batch(characters))
        calls.append(len(engine.calls))
    assert calls == [25] * 5, "texts of more than the model's 128 tokens cost 128: four a call"


async def test_two_batches_fill_calls_together() -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    both = [ask(batching, *batch(1000)), ask(batching, *batch(1001))]
    await until(lambda: len(engine.calls) == 1)
    engine.release()
    await asyncio.gather(*both)
    assert len(engine.calls) == 50


@pytest.mark.parametrize("limit", [1, 8, 300])
async def test_no_call_has_more_texts_than_the_model_takes(limit: int) -> None:
    engine = SlowEmbedder()
    engine.served = replace(MODEL, max_batch_size=limit)
    batching = BatchingEmbedder(engine, calls=1, tokens=4096)
    tasks = [ask(batching, f"{number:x}") for number in range(400)]
    tasks.append(ask(batching, *(f"b {number}" for number in range(400))))
    await until(lambda: len(engine.calls) == 1)
    engine.release()
    for number, answer in enumerate(await asyncio.gather(*tasks[:-1])):
        np.testing.assert_array_equal(answer.vectors, encode([f"{number:x}"], True))
    await tasks[-1]
    assert max(map(len, engine.calls)) == limit


async def test_calls_are_filled_by_the_counts_that_came_back() -> None:
    """The fakes' words are tokens: 10 a text of 200 characters, which is estimated as 102 at first."""
    engine = SlowEmbedder(held=False)
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    texts = [" ".join([f"{number:03}", *["longlonglonglonglong"] * 9]) for number in range(100)]
    for _ in range(20):
        await ask(batching, *texts)
    engine.calls.clear()
    await ask(batching, *texts)
    assert len(engine.calls) == 7, "1/6 of a token for a character is the least that is believed: 34 a text, not 102"


async def test_texts_of_any_length_leave_room_for_others_and_for_the_tokenizer() -> None:
    engine = SlowEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=TOKENS)
    first = ask(batching, "first")
    await until(lambda: len(engine.calls) == 1)
    tasks = [first, ask(batching, *batch(200_000, 4)), ask(batching, *batch(30_000, 4)), ask(batching, "single")]
    await asyncio.sleep(0)
    engine.release()
    await asyncio.gather(*tasks)
    lengths = [sorted(map(len, call)) for call in engine.calls[1:]]
    assert lengths[0] == [6, 30_000, 200_000] or lengths[0] == [6, 200_000]
    assert all(sum(length >= 30_000 for length in call) <= 2 for call in lengths)
