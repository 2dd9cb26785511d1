"""Health from the latest check: at once, while it holds, and red by itself when the engine is away or silent."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from proxy.app import create_app
from proxy.embedding import heartbeat as module
from proxy.embedding.heartbeat import Heartbeat
from proxy.embedding.model import ServedModel
from proxy.errors import EngineUnavailable
from proxy.settings import Settings
from proxy.triton.process_watch import ProcessWatch
from tests.fakes.fake_embedder import MODEL, FakeEmbedder
from tests.fakes.fake_triton import FakeTriton, canary_of, fake_vector, model_config, never, refuse_with
from tests.waiting import until

NOBODY = "http://127.0.0.1:9"  # nothing listens there: the process is not known, and stays so


@asynccontextmanager
async def proxy_for(triton: FakeTriton, beat_seconds: float = 0.02) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(triton_url=triton.url), beat_seconds=beat_seconds)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", timeout=30) as client,
    ):
        yield client


async def becomes(client: httpx.AsyncClient, status: int) -> httpx.Response:
    for _ in range(2000):
        answer = await client.get("/health/ready")
        if answer.status_code == status:
            return answer
        await asyncio.sleep(0.005)
    raise AssertionError(f"never {status}")


class CountingEmbedder(FakeEmbedder):
    """Counts its checks, and holds them on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def check(self, deadline: float) -> ServedModel:
        self.checks += 1
        await self.gate.wait()
        return await super().check(deadline)


@asynccontextmanager
async def beating(embedder: FakeEmbedder, beat_seconds: float = 0.01) -> AsyncIterator[Heartbeat]:
    beat = Heartbeat(embedder, ProcessWatch(NOBODY), 30.0, beat_seconds)
    await embedder.open()
    await beat.open()
    try:
        yield beat
    finally:
        await beat.close()


async def test_the_first_question_waits_for_the_first_outcome() -> None:
    embedder = CountingEmbedder()
    embedder.gate.clear()
    async with beating(embedder) as beat:
        asked = asyncio.create_task(beat.model())
        await until(lambda: embedder.checks == 1)
        assert not asked.done()
        embedder.gate.set()
        assert await asked == MODEL


async def test_questions_cost_no_checks() -> None:
    embedder = CountingEmbedder()
    async with beating(embedder, beat_seconds=60) as beat:
        for _ in range(100):
            assert await beat.model() == MODEL
    assert embedder.checks == 1


async def test_an_outcome_that_is_too_old_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRESH_SECONDS", 0.05)
    embedder = CountingEmbedder()
    async with beating(embedder) as beat:
        assert await beat.model() == MODEL
        embedder.gate.clear()  # the check under way never ends
        await asyncio.sleep(0.1)
        with pytest.raises(EngineUnavailable, match="has not answered the latest check"):
            await beat.model()
        embedder.gate.set()
        await until(lambda: beat._holds())
        assert await beat.model() == MODEL


async def test_nothing_ends_the_beat(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    embedder = CountingEmbedder()
    async with beating(embedder) as beat:
        embedder.failure = RuntimeError("/secret/path")
        await until(lambda: "not ready" in caplog.text)
        with pytest.raises(EngineUnavailable) as refused:
            await beat.model()
        assert "secret" not in str(refused.value)
        checks = embedder.checks
        await until(lambda: embedder.checks > checks + 3)
        embedder.failure = None
        await until(lambda: "ready again" in caplog.text)
        assert await beat.model() == MODEL
    assert caplog.text.count("Traceback") == 1, "told once, not each second"


async def test_a_triton_that_went_away_is_red_at_once(triton: FakeTriton) -> None:
    async with proxy_for(triton, beat_seconds=60) as client:  # no beat tells it: the connection does
        await becomes(client, 200)
        await triton.stop()
        answer = await becomes(client, 503)
        assert int(answer.headers["retry-after"]) > 0
        await triton.start()
        await becomes(client, 200)


async def test_a_triton_that_is_silent_is_red_and_green_again(
    triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHECK_SECONDS", 0.1)
    async with proxy_for(triton) as client:
        await becomes(client, 200)
        triton.infer_with = never
        answer = await becomes(client, 503)
        assert answer.json()["detail"].endswith(".")
        assert (await client.get("/health")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200
        triton.infer_with = None
        await becomes(client, 200)


@pytest.mark.parametrize("right", [True, False])
async def test_the_vector_must_be_the_exports(triton: FakeTriton, right: bool) -> None:
    triton.config = model_config(changes=canary_of(fake_vector("health 확인" if right else "another", True)))
    async with proxy_for(triton) as client:
        answer = await client.get("/health/ready")
        assert answer.status_code == (200 if right else 503)
        assert right or "another vector" in answer.json()["detail"]
        assert (await client.post("/api/v1/embed", json={"text": "a"})).status_code == 200


async def test_a_failing_ensemble_is_red(triton: FakeTriton) -> None:
    async with proxy_for(triton) as client:
        await becomes(client, 200)
        triton.infer_with = refuse_with(500, "the encoder is broken")
        assert "broken" not in (await becomes(client, 503)).text
