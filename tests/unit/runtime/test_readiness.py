"""The few lines of HTTP that ask whether a service is up."""

import asyncio
import socket

from runtime.readiness import Answer, ask, listens


async def answer_with(raw: bytes) -> tuple[Answer | None, bytes]:
    """What `ask` makes of a server that answers `raw` and closes, and what it was asked."""
    asked = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        answer = await ask("127.0.0.1", server.sockets[0].getsockname()[1], "/health")
    return answer, asked


async def test_status_and_document() -> None:
    body = '{"detail": "갈비탕"}'.encode()
    answer, asked = await answer_with(b"HTTP/1.1 503 Nope\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    assert answer is not None
    assert (answer.status, answer.document) == (503, {"detail": "갈비탕"})
    assert asked.startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_an_answer_without_body() -> None:
    answer, _ = await answer_with(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    assert answer == Answer(200, b"")
    assert answer.document == {}


async def test_what_is_no_http_is_no_answer() -> None:
    for raw in (b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"x" * 100_000):
        assert (await answer_with(raw))[0] is None, raw[:40]


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await listens("127.0.0.1", port)
    assert not await listens("127.0.0.1", port)
    assert await ask("127.0.0.1", port, "/health") is None


async def test_a_body_is_posted_whole() -> None:
    asked = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        answer = await ask("127.0.0.1", server.sockets[0].getsockname()[1], "/infer", b"{  }")
    assert answer == Answer(200, b"")
    assert asked.startswith(b"POST /infer HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 4\r\n" in asked
    assert asked.endswith(b"\r\n\r\n{  }")
