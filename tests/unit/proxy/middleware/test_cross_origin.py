"""A request without an `Origin` is answered as Starlette's own layer answers it."""

from collections.abc import Sequence

import httpx
import pytest
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from proxy.middleware.cross_origin import CrossOrigin


async def headers_of(app: ASGIApp, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return sorted((await client.get("/", headers=headers)).headers.raw)


@pytest.mark.parametrize("origins", [["*"], ["https://a.example"]])
@pytest.mark.parametrize("headers", [{}, {"Origin": "https://a.example"}, {"Origin": "https://b.example"}])
@pytest.mark.parametrize("vary", [None, "Accept", "Accept, Cookie"])
async def test_the_same_headers(origins: Sequence[str], headers: dict[str, str], vary: str | None) -> None:
    inner = Response("", headers={"X-Some": "thing"} | ({"Vary": vary} if vary else {}))
    ours, theirs = (layer(inner, allow_origins=origins) for layer in (CrossOrigin, CORSMiddleware))
    assert await headers_of(ours, headers) == await headers_of(theirs, headers)
