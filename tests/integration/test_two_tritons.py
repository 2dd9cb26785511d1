"""Two real Tritons with different models behind one address that deals out requests at random."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.cache import CachingEmbedder
from proxy.triton.client import TritonClient
from proxy.triton.engine import TritonEmbedder
from tests.integration.conftest import Service, export_here, running_service, service_environment
from tests.unit.proxy.triton.random_relay import random_relay

TEXTS = [f"갈비탕 {number}" for number in range(60)]
REQUESTS = 600
CLIENTS = 8


def vectors_of(service: Service) -> tuple[str, Any]:
    answer = httpx.post(f"{service.proxy}/api/v1/embed-batch", json={"texts": TEXTS}, timeout=30).json()
    return answer["version"], np.array(answer["embeddings"], np.float32)


def test_no_vector_is_taken_for_the_other_models(
    small_stand_in: Path, other_stand_in: Path, small_build: Path, tmp_path: Path
) -> None:
    builds = [small_build, export_here(tmp_path, other_stand_in)]
    first, second = (
        service_environment(build, MODEL=str(model), CACHE_MB="0")
        for build, model in zip(builds, (small_stand_in, other_stand_in), strict=True)
    )
    with running_service(builds[0], **first) as one, running_service(builds[1], **second) as another:
        expected = dict([vectors_of(one), vectors_of(another)])
        ports = [urlsplit(f"//{service.triton_http}").port or 0 for service in (one, another)]
        seen = asyncio.run(asyncio.wait_for(ask(ports, expected), 120))
    assert set(seen) == set(expected)


async def ask(ports: list[int], expected: dict[str, Any]) -> Counter[str]:
    """How many answers each version gave; each was compared with what that model's own service gives."""
    seen: Counter[str] = Counter()
    chance = random.Random(5)
    async with random_relay(ports, chance) as url:
        cache = CachingEmbedder(BatchingEmbedder(TritonEmbedder(TritonClient(url)), calls=2, tokens=256), megabytes=4)

        async def client() -> None:
            while seen.total() < REQUESTS:
                places = [chance.randrange(len(TEXTS)) for _ in range(chance.choice([1, 1, 8]))]
                deadline = asyncio.get_running_loop().time() + 60
                if chance.random() < 1 / 10:
                    await cache.check(deadline)
                answer = await cache.embed([TEXTS[place] for place in places], True, deadline)
                assert np.abs(answer.vectors - expected[answer.model.version][places]).max() < 1e-3
                seen[answer.model.version] += 1

        await cache.open()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        await cache.close()
    return seen
