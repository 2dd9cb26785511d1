"""What the proxy's unit tests share: a fake Triton with an embedder in front of it."""

from collections.abc import AsyncIterator

import pytest

from proxy.triton.client import TritonClient
from proxy.triton.engine import TritonEmbedder
from tests.fakes.fake_triton import FakeTriton


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as running:
        yield running


@pytest.fixture
async def embedder(triton: FakeTriton) -> AsyncIterator[TritonEmbedder]:
    made = TritonEmbedder(TritonClient(triton.url))
    await made.open()
    yield made
    await made.close()
