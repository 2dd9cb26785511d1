"""Two Tritons with different models behind one address: no vector is ever taken for another model's."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import numpy as np
import pytest

from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.cache import CachingEmbedder
from proxy.triton.client import TritonClient
from proxy.triton.engine import TritonEmbedder
from tests.fakes.fake_triton import FakeTriton, fake_vector
from tests.unit.proxy.triton.random_relay import random_relay

REQUESTS = 10_000
CLIENTS = 32
TEXTS = 1000  # so few that many are remembered of both models
NAMES = ("model-a", "model-b")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with (
        FakeTriton(NAMES[0]) as one,
        FakeTriton(NAMES[1]) as other,
        random_relay([one.port, other.port], random.Random(7)) as url,
    ):
        other.token = 200
        yield url


async def test_joined_calls_and_the_cache_never_mix_models(address: str) -> None:
    engine = TritonEmbedder(TritonClient(address))
    sizes: list[int] = []
    cache = CachingEmbedder(BatchingEmbedder(engine, calls=4, tokens=256, tell_call=sizes.append), megabytes=8)
    chance = random.Random(11)
    seen: Counter[str] = Counter()
    asked = 0

    async def ask() -> None:
        nonlocal asked
        while asked < REQUESTS:
            asked += 1
            count = chance.choice([1, 1, 1, 2, 10])
            texts = [f"text {chance.randrange(TEXTS)}" for _ in range(count)]
            normalize = chance.random() < 0.5
            answer = await cache.embed(texts, normalize, asyncio.get_running_loop().time() + 60)
            expected = np.stack([fake_vector(text, normalize, answer.model.name) for text in texts])
            np.testing.assert_array_equal(answer.vectors, expected)
            seen[answer.model.name] += 1

    async def check() -> None:
        while asked < REQUESTS:
            await cache.check(asyncio.get_running_loop().time() + 60)
            await asyncio.sleep(0.005)

    await cache.open()
    await asyncio.wait_for(asyncio.gather(check(), *(ask() for _ in range(CLIENTS))), 120)
    await cache.close()
    assert min(seen[name] for name in NAMES) > REQUESTS / 100, f"both answer: {seen}"
    assert cache.counts.hits > REQUESTS / 4, "and from memory"
    assert max(sizes) > 20, "and requests share calls"


async def test_tokens_and_the_models_description(address: str) -> None:
    engine = TritonEmbedder(TritonClient(address))
    await engine.open()
    found: Counter[str] = Counter()
    for number in range(200):
        deadline = asyncio.get_running_loop().time() + 60
        tokens = await engine.tokenize([f"text {number}"], deadline)
        assert set(tokens.ids[0]) == {100 if tokens.model.name == NAMES[0] else 200}
        found[tokens.model.name] += 1
        assert (await engine.check(deadline)).name in NAMES
    await engine.close()
    assert set(found) == set(NAMES)
