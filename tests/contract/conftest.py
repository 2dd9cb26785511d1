"""A proxy with a fake embedder behind it, running for the tests of one file."""

from collections.abc import Iterator

import httpx
import pytest

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import FakeEmbedder


@pytest.fixture(scope="module")
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture(scope="module")
def running(embedder: FakeEmbedder) -> Iterator[httpx.Client]:
    with serve(create_app(Settings(), embedder, beat_seconds=0)) as address, connect(address) as client:
        yield client


@pytest.fixture
def client(running: httpx.Client, embedder: FakeEmbedder) -> Iterator[httpx.Client]:
    yield running
    embedder.failure = None
