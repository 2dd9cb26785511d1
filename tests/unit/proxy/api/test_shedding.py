"""The early refusal: the same answer that the embedder's own refusal would get, for no more and no fewer requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from aiohttp import web

import proxy.app
from proxy.embedding.admission import AdmittingEmbedder
from proxy.settings import Settings
from tests.fakes.fake_triton import FakeTriton, encode_answer, fake_vector
from tests.unit.proxy.test_app import proxy_for
from tests.waiting import until

EMBED, BATCH = "/api/v1/embed", "/api/v1/embed-batch"
PLACES = 100
FULL = {"detail": "The service has as many texts in hand as it takes on."}


@asynccontextmanager
async def filled(
    triton: FakeTriton, places: int, cache_mb: int = 0
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Event]]:
    """A proxy that has "warm" in its cache, if any, and as many texts in hand as `places`, until the event is set."""
    free = asyncio.Event()

    async def hold(_: web.Request) -> web.StreamResponse:
        await free.wait()
        texts = triton.inferences[-1]
        return encode_answer("normalized_embedding", np.stack([fake_vector(text, True) for text in texts]))

    settings = Settings(triton_url=triton.url, max_texts_in_hand=PLACES, cache_mb=cache_mb)
    async with proxy_for(settings) as client:

        async def warm() -> bool:
            await client.post(EMBED, json={"text": "warm"})
            return cache_mb == 0 or (await client.get("/api/v1/cache")).json()["hits"] > 0

        while not await warm():
            await asyncio.sleep(0.005)
        triton.infer_with = hold
        calls = len(triton.inferences)
        held = asyncio.create_task(client.post(BATCH, json={"texts": [f"text {number}" for number in range(places)]}))
        await until(lambda: len(triton.inferences) > calls)
        yield client, free
        free.set()
        assert (await held).status_code == 200


@pytest.mark.parametrize("with_fast_routes", [True, False])
@pytest.mark.parametrize(
    ("in_hand", "path", "body", "status"),
    [
        (PLACES, EMBED, {"text": "a"}, 503),
        (PLACES, EMBED, {"text": "a", "normalize": False}, 503),
        (PLACES, EMBED, {"text": "a", "normalize": "true"}, 503),
        (PLACES, BATCH, {"texts": ["a"]}, 503),
        (PLACES - 2, BATCH, {"texts": ["a", "b", "c"]}, 503),
        (PLACES, EMBED, {"text": ""}, 422),
        (PLACES, EMBED, {"texts": ["a"]}, 422),
        (PLACES, BATCH, {"texts": []}, 422),
        (PLACES, BATCH, {"texts": ["a"] * 101}, 422),
        (PLACES, BATCH, {"texts": "a"}, 422),
        (PLACES, EMBED, {"text": "a", "normalize": 2}, 422),
        (PLACES, EMBED, ["a"], 422),
    ],
)
async def test_who_is_refused(
    with_fast_routes: bool,
    in_hand: int,
    path: str,
    body: Any,
    status: int,
    triton: FakeTriton,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not with_fast_routes:
        monkeypatch.setattr(proxy.app, "FastRoutes", lambda app, **_: app)
    async with filled(triton, in_hand) as (client, _):
        answer = await client.post(path, json=body)
        assert answer.status_code == status
        if answer.status_code == 503:
            assert answer.json() == FULL
            assert answer.headers["retry-after"] == "1"


async def test_what_has_room_is_let_in_whole(triton: FakeTriton) -> None:
    async with filled(triton, PLACES - 2) as (client, free):
        let_in = asyncio.create_task(client.post(BATCH, json={"texts": ["a", "b"]}))
        await asyncio.sleep(0.05)
        assert not let_in.done()
        free.set()
        assert (await let_in).json()["count"] == 2


async def test_texts_from_memory_and_under_way_take_no_place(triton: FakeTriton) -> None:
    async with filled(triton, PLACES, cache_mb=1) as (client, free):
        assert (await client.post(EMBED, json={"text": "warm"})).status_code == 200
        assert (await client.post(EMBED, json={"text": "cold"})).status_code == 503
        assert (await client.post(BATCH, json={"texts": ["warm", "cold"]})).status_code == 503
        joined = asyncio.create_task(client.post(BATCH, json={"texts": ["warm", "text 5", "text 7"]}))
        await asyncio.sleep(0.05)
        assert not joined.done()
        free.set()
        assert (await joined).status_code == 200


async def test_other_routes_pass(triton: FakeTriton) -> None:
    async with filled(triton, PLACES) as (client, _):
        assert (await client.get("/api/v1/model-info")).status_code == 200
        assert (await client.get("/docs")).status_code == 200


async def test_fastapi_is_spared(triton: FakeTriton, monkeypatch: pytest.MonkeyPatch) -> None:
    async with filled(triton, PLACES) as (client, _):
        monkeypatch.setattr(AdmittingEmbedder, "embed", None)  # a 500, if the request came that far
        for path, body in ((EMBED, {"text": "a"}), (BATCH, {"texts": ["a", "b"]})):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()) == (503, FULL)


@pytest.mark.parametrize("with_fast_routes", [True, False])
async def test_the_metrics_count_it(
    triton: FakeTriton, with_fast_routes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_fast_routes:
        monkeypatch.setattr(proxy.app, "FastRoutes", lambda app, **_: app)
    async with filled(triton, PLACES) as (client, _):
        assert (await client.post(EMBED, json={"text": "a"})).status_code == 503
        told = (await client.get("/metrics")).text.splitlines()
    assert {"embedding_refusals_total 1.0", f"embedding_texts_in_hand {PLACES:.1f}"} <= set(told)
    assert "embedding_call_texts_count 2.0" in told, "the warm one, and the first of what is in hand"
