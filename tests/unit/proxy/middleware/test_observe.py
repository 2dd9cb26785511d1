"""One line for each request: what is in it, and what never is."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from proxy.app import create_app
from proxy.logs import JsonLines, TextLines
from proxy.middleware.observe import Observe
from proxy.settings import Settings
from proxy.telemetry.metrics import Metrics
from tests.fakes.fake_triton import FakeTriton, refuse_with

SECRET = "비밀의 재료"


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


def lines_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    """Each access line as text and as JSON."""
    records = [record for record in caplog.records if record.name == "proxy.access"]
    return [(TextLines().format(record), json.loads(JsonLines().format(record))) for record in records]


async def test_a_line_for_each_request(triton: FakeTriton, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with client_of(create_app(Settings(triton_url=triton.url))) as client:
        await client.post("/api/v1/embed", json={"text": SECRET})
        await client.post(f"/api/v1/embed-batch?text={SECRET}", json={"texts": [SECRET] * 3})
        await client.post("/api/v1/embed", json={"text": [SECRET]})
        await client.get("/health")
        for quiet in ("/health/live", "/metrics"):  # at debug
            await client.get(quiet)
        await client.get(f"/nothing?text={SECRET}")
    lines = lines_of(caplog)
    found = [tuple(fields[name] for name in ("method", "path", "status", "texts")) for _, fields in lines]
    assert found == [
        ("POST", "/api/v1/embed", 200, 1),
        ("POST", "/api/v1/embed-batch", 200, 3),
        ("POST", "/api/v1/embed", 422, None),
        ("GET", "/health", 200, None),
        ("GET", "/nothing", 404, None),
    ]
    assert all(isinstance(fields["milliseconds"], float) for _, fields in lines)
    assert " INFO proxy.access POST /api/v1/embed-batch 200 " in lines[1][0]
    assert lines[1][0].endswith(" ms 3 texts")
    for record in caplog.records:
        if record.name.startswith("httpx"):  # the test's own client
            continue
        assert SECRET not in TextLines().format(record) + json.loads(JsonLines().format(record))["message"]
        assert "%EB" not in TextLines().format(record)


async def test_a_failure_is_in_the_line(triton: FakeTriton, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    triton.infer_with = refuse_with(503, "/some/path")
    async with client_of(create_app(Settings(triton_url=triton.url))) as client:
        await client.post("/api/v1/embed", json={"text": SECRET})
    ((line, fields),) = lines_of(caplog)
    assert line.endswith(" ms 1 text: The engine is not ready.")
    assert (fields["status"], fields["failure"]) == (503, "The engine is not ready.")
    assert "/some/path" not in line


async def test_an_engines_failure_is_logged_with_its_reason(
    triton: FakeTriton, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    triton.infer_with = refuse_with(500, "the reason")
    async with client_of(create_app(Settings(triton_url=triton.url))) as client:
        answer = await client.post("/api/v1/embed", json={"text": "a"})
    assert answer.json() == {"detail": "The engine failed on the request."}
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the reason" in TextLines().format(error)
    assert "the reason" in json.loads(JsonLines().format(error))["traceback"]


async def test_a_path_cannot_forge_a_line(triton: FakeTriton, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with client_of(create_app(Settings(triton_url=triton.url))) as client:
        await client.get("/a%0AINFO forged")
        await client.get("/" + "a" * 5000)
    for line, _ in lines_of(caplog):
        assert "\n" not in line
        assert len(line) < 400


async def call(app: Observe, incoming: list[Message]) -> list[Message]:
    """One POST by hand; past `incoming` the client says nothing more."""
    sent: list[Message] = []

    async def receive() -> Message:
        if not incoming:
            await asyncio.sleep(600)
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/x", "headers": []}, receive, send)
    return sent


async def read_and_answer(_: object, receive: object, send: object) -> None:
    assert callable(receive)
    assert callable(send)
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.mark.parametrize(
    ("incoming", "left"),
    [
        ([{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}], True),
        ([{"type": "http.disconnect"}], True),
        ([{"type": "http.request", "body": b"x"}], False),
        # A body that nobody read on is not asked for.
        ([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}], False),
    ],
)
async def test_a_client_that_left(incoming: list[Message], left: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await call(Observe(read_and_answer, Metrics(), (), patient_seconds=0), incoming)
    ((line, fields),) = lines_of(caplog)
    assert ("the client had left" in line) == left
    assert fields.get("client_left", False) == left


async def test_what_never_answered_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    async def break_down(*_: object) -> None:
        raise RuntimeError

    caplog.set_level(logging.INFO)
    with pytest.raises(RuntimeError):
        await call(Observe(break_down, Metrics(), ()), [])
    ((line, fields),) = lines_of(caplog)
    assert fields["status"] is None
    assert " POST /x - " in line


def test_lines_have_the_time_as_logging_writes_it() -> None:
    lines, usual = TextLines(), logging.Formatter("%(asctime)s")
    record = logging.makeLogRecord({"name": "x", "msg": "y"})
    for record.created, record.msecs in ((1.0, 0.0), (1.9996, 999.6), (1764000000.25, 250.0), (1764000000.5, 500.0)):
        assert lines.format(record).split(" INFO")[0].split(" Level")[0].startswith(usual.format(record))
