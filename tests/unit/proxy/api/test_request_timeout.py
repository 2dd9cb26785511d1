"""`X-Request-Timeout`: a client shortens its deadline, and what nobody waits for any more is not asked of Triton."""

import asyncio

import pytest
from aiohttp import web

from proxy.settings import Settings
from tests.fakes.fake_triton import FakeTriton, never
from tests.unit.proxy.test_app import proxy_for
from tests.waiting import until

EMBED, BATCH = "/api/v1/embed", "/api/v1/embed-batch"
BODY = {"text": "갈비탕", "texts": ["갈비탕"]}  # for both routes: fields that one does not know are ignored


@pytest.mark.parametrize("path", [EMBED, BATCH])
async def test_it_shortens_the_deadline(path: str, triton: FakeTriton) -> None:
    triton.infer_with = never
    async with proxy_for(Settings(triton_url=triton.url)) as client:
        answer = await client.post(path, json=BODY, headers={"X-Request-Timeout": "0.05"})
        assert answer.status_code == 504
        assert answer.json() == {"detail": "The engine did not answer in time."}


@pytest.mark.parametrize("path", [EMBED, BATCH])
async def test_it_does_not_lengthen_the_deadline(path: str, triton: FakeTriton) -> None:
    triton.infer_with = never
    async with proxy_for(Settings(triton_url=triton.url, deadline_seconds=0.05)) as client:
        answer = await client.post(path, json=BODY, headers={"X-Request-Timeout": "1000"})
        assert answer.status_code == 504


@pytest.mark.parametrize("path", [EMBED, BATCH])
async def test_with_time_enough_the_answer_is_the_usual_one(path: str, triton: FakeTriton) -> None:
    async with proxy_for(Settings(triton_url=triton.url)) as client:
        usual = await client.post(path, json=BODY)
        assert (await client.post(path, json=BODY, headers={"X-Request-Timeout": "20"})).json() == usual.json()


@pytest.mark.parametrize("path", [EMBED, BATCH])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("0", "greater_than"),
        ("-1.5", "greater_than"),
        ("soon", "float_parsing"),
        ("", "float_parsing"),
        ("1s", "float_parsing"),
        ("nan", "finite_number"),
        ("inf", "finite_number"),
    ],
)
async def test_what_is_no_time_is_told(path: str, value: str, kind: str, triton: FakeTriton) -> None:
    async with proxy_for(Settings(triton_url=triton.url)) as client:
        answer = await client.post(path, json=BODY, headers={"X-Request-Timeout": value})
        assert answer.status_code == 422
        (error,) = answer.json()["detail"]
        assert (error["type"], error["loc"]) == (kind, ["header", "x-request-timeout"])
        assert isinstance(error["msg"], str)


async def test_what_nobody_waits_for_is_not_asked(triton: FakeTriton) -> None:
    free = asyncio.Event()

    async def hold(_: web.Request) -> web.StreamResponse:
        await free.wait()
        triton.infer_with = None
        return web.json_response({"error": "not ready"}, status=503)

    async with proxy_for(Settings(triton_url=triton.url, cache_mb=0)) as client:
        triton.infer_with = hold
        held = asyncio.create_task(client.post(EMBED, json={"text": "held"}))
        await until(lambda: len(triton.inferences) == 1)
        timeout = {"X-Request-Timeout": "0.05"}
        late = [
            client.post(EMBED, json={"text": "late"}, headers=timeout),
            client.post(BATCH, json={"texts": ["late a", "late b"]}, headers=timeout),
        ]
        assert [answer.status_code for answer in await asyncio.gather(*late)] == [504, 504]
        free.set()
        await held
        assert (await client.post(EMBED, json={"text": "next"})).status_code == 200
        assert triton.inferences == [["held"], ["next"]]


async def test_both_routes_describe_it(triton: FakeTriton) -> None:
    async with proxy_for(Settings(triton_url=triton.url)) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        for path in (EMBED, BATCH):
            (parameter,) = paths[path]["post"]["parameters"]
            assert (parameter["in"], parameter["name"], parameter["required"]) == ("header", "x-request-timeout", False)
            assert parameter["description"]


async def test_the_places_of_a_request_that_was_broken_off_are_free(triton: FakeTriton) -> None:
    """Over the whole proxy: a full service takes texts again as soon as those that filled it are gone."""
    triton.infer_with = never
    settings = Settings(triton_url=triton.url, max_texts_in_hand=100, cache_mb=0)
    async with proxy_for(settings) as client:
        full = asyncio.create_task(client.post(BATCH, json={"texts": ["a"] * 100}))
        await until(lambda: len(triton.inferences) == 1)
        for path in (EMBED, BATCH):
            refused = await client.post(path, json=BODY)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.json() == {"detail": "The service has as many texts in hand as it takes on."}
        assert (await client.get("/api/v1/model-info")).status_code == 200
        full.cancel()
        await asyncio.gather(full, return_exceptions=True)
        answer = await client.post(EMBED, json=BODY, headers={"X-Request-Timeout": "0.05"})
        assert answer.status_code == 504, "taken on, and not refused"
