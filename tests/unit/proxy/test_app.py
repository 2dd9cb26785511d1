"""The whole proxy in front of a fake Triton that comes, goes, dawdles and changes its model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np

from proxy.app import create_app
from proxy.settings import Settings
from tests.fakes.fake_triton import FakeTriton, fake_vector, never, refuse_with


@asynccontextmanager
async def proxy_for(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, beat_seconds=0)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", timeout=30) as client,
    ):
        yield client


async def embed(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/api/v1/embed", json={"text": "갈비탕"})


async def test_vectors_go_all_the_way(triton: FakeTriton) -> None:
    async with proxy_for(Settings(triton_url=triton.url)) as client:
        single = (await embed(client)).json()
        np.testing.assert_array_equal(np.float32(single["embedding"]), fake_vector("갈비탕", True))
        assert single["version"] == "fake-model@0123456789ab-float32"
        texts = ["갈비탕", "", "a\0b", "🍲" * 500]
        batch = (await client.post("/api/v1/embed-batch", json={"texts": texts, "normalize": False})).json()
        np.testing.assert_array_equal(np.float32(batch["embeddings"]), [fake_vector(text, False) for text in texts])
        assert sorted(triton.inferences[-1]) == sorted(texts), "all in one call"


async def test_start_order_does_not_matter(triton: FakeTriton) -> None:
    await triton.stop()
    async with proxy_for(Settings(triton_url=triton.url)) as client:
        for ask in (embed(client), client.get("/health"), client.get("/api/v1/model-info")):
            answer = await ask
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert isinstance(answer.json()["detail"], str)
            assert str(triton.port) not in answer.text
        await triton.start()
        assert (await client.get("/health")).status_code == 200
        assert (await embed(client)).status_code == 200


async def test_the_deadline_is_504_and_health_503(triton: FakeTriton) -> None:
    async with proxy_for(Settings(triton_url=triton.url, deadline_seconds=0.05)) as client:
        triton.infer_with = never
        answer = await embed(client)
        assert answer.status_code == 504
        assert answer.json() == {"detail": "The engine did not answer in time."}
        assert (await client.get("/health")).status_code == 503
        triton.infer_with = None
        triton.configure_with = never
        assert (await client.get("/api/v1/model-info")).status_code == 504


async def test_health_asks_the_ensemble_not_triton_alone(triton: FakeTriton) -> None:
    async with proxy_for(Settings(triton_url=triton.url)) as client:
        assert (await client.get("/health")).status_code == 200
        triton.infer_with = refuse_with(500, "the encoder is broken")
        assert (await client.get("/api/v1/model-info")).status_code == 200
        answer = await client.get("/health")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


async def test_another_model_is_named_from_the_first_answer_on(triton: FakeTriton) -> None:
    async with proxy_for(Settings(triton_url=triton.url)) as client:
        await embed(client)
        await triton.restart("new-model")
        answer = (await embed(client)).json()
        assert answer["version"].startswith("new-model@")
        np.testing.assert_array_equal(np.float32(answer["embedding"]), fake_vector("갈비탕", True, "new-model"))
        assert (await client.get("/health")).json()["model"] == "new-model"


async def test_another_model_than_the_expected_one(triton: FakeTriton) -> None:
    async with proxy_for(Settings(triton_url=triton.url, expected_model="org/wanted")) as client:
        for answer in (await embed(client), await client.get("/health")):
            assert answer.status_code == 503
            assert "'wanted'" in answer.json()["detail"]
        assert (await client.get("/api/v1/model-info")).json()["model_name"] == "fake-model"
        await triton.restart("wanted")
        assert (await client.get("/health")).json()["model"] == "wanted"
