"""Token ids of many long texts are asked for in parts, so that no request keeps the tokenizer for itself."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from proxy.embedding.base import Text, Tokens, TruncationSide
from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.calls import MAX_CHARACTERS
from proxy.embedding.deadline import DeadlineEmbedder
from proxy.errors import DeadlineExceeded
from tests.fakes.fake_embedder import tokenize
from tests.fakes.slow_embedder import SlowEmbedder

LONG = [f"{number} " * (MAX_CHARACTERS // 10) for number in range(10)]


class CountingEmbedder(SlowEmbedder):
    """Tells the texts of each call of `tokenize`, and how many of the calls were under way at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenized: list[list[Text]] = []
        self.at_once = self.most_at_once = 0
        self.changes_after = 0

    async def tokenize(
        self,
        texts: Sequence[Text],
        deadline: float,
        truncation: TruncationSide = "right",
        special_tokens: bool = False,
    ) -> Tokens:
        self.tokenized.append(list(texts))
        if len(self.tokenized) == self.changes_after:
            self.serve_another_model()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return await super().tokenize(texts, deadline, truncation, special_tokens)


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


def assert_tokens(answer: Tokens, texts: Sequence[Text]) -> None:
    expected = tokenize(texts, special_tokens=True)
    for found, row in zip(answer.ids, expected.ids, strict=True):
        np.testing.assert_array_equal(found, row)
    np.testing.assert_array_equal(answer.token_counts, expected.token_counts)


async def test_long_texts_go_in_parts_one_at_a_time_over_all_requests() -> None:
    engine = CountingEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=512)
    answers = await asyncio.gather(*(batching.tokenize(LONG, soon(), special_tokens=True) for _ in range(3)))
    for answer in answers:
        assert_tokens(answer, LONG)
    assert engine.most_at_once == 1
    assert all(sum(map(len, part)) <= MAX_CHARACTERS for part in engine.tokenized)
    assert len(engine.tokenized) == 3 * 2


async def test_short_texts_go_at_once_and_wait_for_nobody() -> None:
    engine = CountingEmbedder()
    batching = BatchingEmbedder(engine, calls=1, tokens=512)
    answers = await asyncio.gather(*(batching.tokenize(["a b", "c"], soon(), special_tokens=True) for _ in range(4)))
    for answer in answers:
        assert_tokens(answer, ["a b", "c"])
    assert (len(engine.tokenized), engine.most_at_once) == (4, 4)


async def test_parts_of_two_models_are_never_put_together() -> None:
    engine = CountingEmbedder()
    engine.changes_after = 2
    answer = await BatchingEmbedder(engine, calls=1, tokens=512).tokenize(LONG, soon(), special_tokens=True)
    assert answer.model == engine.served
    assert_tokens(answer, LONG)
    assert len(engine.tokenized) == 2 + 2


async def test_a_deadline_ends_it_between_parts() -> None:
    engine = CountingEmbedder()
    embedder = DeadlineEmbedder(BatchingEmbedder(engine, calls=1, tokens=512))
    with pytest.raises(DeadlineExceeded):
        await embedder.tokenize(LONG, asyncio.get_running_loop().time())
    assert len(engine.tokenized) <= 1
