"""Connections to Triton against servers of raw bytes: what is kept, what is tried again, and what ends one."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.triton import connection as connection_module
from proxy.triton import pool as pool_module
from proxy.triton.connection import (
    Answer,
    AnswerTooLarge,
    CannotConnect,
    Connection,
    ConnectionEnded,
    ConnectTimedOut,
    NotHttp,
    NotOpen,
    TransportError,
)
from proxy.triton.pool import ConnectionPool
from tests.waiting import until

REQUEST = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LONG = 30  # seconds: more than any of these takes


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Server:
    """Answers each request with what `reply` writes; `connections` made and `ended` so far."""

    def __init__(self) -> None:
        self.connections = self.ended = self.requests = 0
        self.reply: Callable[[asyncio.StreamWriter], Awaitable[None]] = send(OK)
        self.writers: list[asyncio.StreamWriter] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    self.requests += 1
                    await self.reply(writer)
                    await writer.drain()
        finally:
            self.ended += 1
            writer.close()


def send(*parts: bytes, close: bool = False) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Writes the parts in packets of their own."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.001 if len(parts) > 1 else 0)
        if close:
            writer.close()

    return reply


async def never(_: asyncio.StreamWriter) -> None:
    """No answer; the connection's end ends the server's reading."""


@asynccontextmanager
async def serving(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    made = Server()
    server = await asyncio.start_server(made.serve, host, 0, ssl=tls)
    made.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for writer in made.writers:
            writer.close()
        await until(lambda: made.ended == made.connections)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[ConnectionPool]:
    pool = ConnectionPool(url)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as made:
        yield made


@pytest.fixture
async def pool(server: Server) -> AsyncIterator[ConnectionPool]:
    async with opened(server.url) as made:
        yield made


async def ask(pool: ConnectionPool) -> Answer:
    return await asyncio.wait_for(pool.exchange(REQUEST), LONG)


async def fails(pool: ConnectionPool, kind: type[TransportError]) -> None:
    with pytest.raises(TransportError) as raised:
        await ask(pool)
    assert type(raised.value) is kind


# What an answer looks like.

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\nTrailer: t\r\n\r\n"
WITH_LENGTH = b"HTTP/1.1 404 Not Found\r\nInference-Header-Content-Length: 17\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ([OK], Answer(200, None, b"ok")),
        ([OK[place : place + 1] for place in range(len(OK))], Answer(200, None, b"ok")),
        ([CHUNKED], Answer(200, None, b"ok")),
        ([CHUNKED[place : place + 1] for place in range(len(CHUNKED))], Answer(200, None, b"ok")),
        ([WITH_LENGTH.lower().replace(b"http", b"HTTP")], Answer(404, b"17", b"no")),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], Answer(200, None, b"ok")),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK], Answer(200, None, b"ok")),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], Answer(204, None, b"")),
    ],
)
async def test_an_answer_in_any_form_keeps_the_connection(
    parts: list[bytes], answer: Answer, server: Server, pool: ConnectionPool
) -> None:
    server.reply = send(*parts)
    assert [await ask(pool) for _ in range(3)] == [answer] * 3
    assert (server.connections, server.requests) == (1, 3)


@pytest.mark.parametrize(
    "reply",
    [
        send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
        send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\no", b"k", close=True),
        send(b"HTTP/1.0 200 OK\r\n\r\nok", close=True),
        send(OK + OK),
        send(OK + b"x"),
    ],
)
async def test_an_answer_that_ends_the_connection(reply: Any, server: Server, pool: ConnectionPool) -> None:
    server.reply = reply
    assert [(await ask(pool)).content for _ in range(3)] == [b"ok"] * 3
    assert (server.connections, server.requests) == (3, 3)


async def test_what_comes_unasked_ends_the_connection(server: Server, pool: ConnectionPool) -> None:
    await ask(pool)
    server.writers[0].write(OK.replace(b"ok", b"no"))
    await until(lambda: server.ended == 1)
    assert (await ask(pool)).content == b"ok"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (send(b"SSH-2.0-OpenSSH_9.6\r\n"), NotHttp),
        (send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"), NotHttp),
        (send(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), NotHttp),
        (send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", close=True), ConnectionEnded),
        (send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", close=True), ConnectionEnded),
        (send(b"HTTP/1.1 200 OK\r\nContent-", close=True), ConnectionEnded),
        (send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**17), AnswerTooLarge),
        (send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2**15), AnswerTooLarge),
        (send(CHUNKED[:-2] + b"X: y\r\n" * 2**15), AnswerTooLarge),
        (send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000), AnswerTooLarge),
    ],
)
async def test_what_is_no_answer(
    reply: Any, kind: type[TransportError], server: Server, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "MAX_BODY_BYTES", 4096)
    for _ in range(2):  # over a new connection and over a kept one
        server.reply = reply
        await fails(pool, kind)
        server.reply = send(OK)
        assert (await ask(pool)).content == b"ok"
        await until(lambda: server.ended == server.connections - 1)


# What is tried again.


async def test_a_kept_connection_that_ended_is_replaced_once(server: Server, pool: ConnectionPool) -> None:
    server.reply = send(close=True)
    await fails(pool, ConnectionEnded)
    assert server.requests == 1, "not over a new one"
    server.reply = send(OK)
    await ask(pool)
    server.reply = send(close=True)
    await fails(pool, ConnectionEnded)
    assert server.requests == 2 + 2


async def test_one_that_ended_before_it_was_asked_is_not_asked(server: Server, pool: ConnectionPool) -> None:
    await ask(pool)
    server.writers[0].close()
    await until(lambda: server.ended == 1)
    assert (await ask(pool)).content == b"ok"
    assert server.requests == 2


async def test_a_server_that_closes_what_it_accepts() -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server, opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as pool:
        for _ in range(20):
            await fails(pool, ConnectionEnded)


async def test_a_connection_that_is_lost_before_it_is_asked() -> None:
    connection = Connection()
    with pytest.raises(ConnectionEnded):
        await connection.exchange(REQUEST)


async def test_one_that_was_idle_for_long_is_let_go(
    server: Server, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(pool)
    monkeypatch.setattr(pool_module, "_IDLE_SECONDS", -1.0)
    await ask(pool)
    assert server.connections == 2
    await until(lambda: server.ended == 1)


# Who waits, and who leaves.


async def test_a_caller_that_leaves_ends_its_connection(server: Server, pool: ConnectionPool) -> None:
    server.reply = never
    asked = asyncio.create_task(pool.exchange(REQUEST))
    await until(lambda: server.requests == 1)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await until(lambda: server.ended == 1)
    server.reply = send(OK)
    assert (await ask(pool)).content == b"ok"


async def test_connections_are_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_MAX_CONNECTIONS", 2)
    go_on = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(OK)

    server.reply = late
    async with opened(server.url) as pool:
        asked = [asyncio.create_task(ask(pool)) for _ in range(6)]
        await until(lambda: server.requests == 2)
        asked[4].cancel()  # one that waits
        go_on.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Answer] * 4 + [asyncio.CancelledError, Answer]
        assert server.connections == 2


async def test_a_pool_that_is_closed(server: Server) -> None:
    pool = ConnectionPool(server.url)
    await fails(pool, NotOpen)
    await pool.open()
    server.reply = never
    asked = asyncio.create_task(ask(pool))
    await until(lambda: server.requests == 1)
    await pool.close()
    with pytest.raises(ConnectionEnded):
        await asked
    await fails(pool, NotOpen)


# The address.


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for url in (f"http://127.0.0.1:{taken.getsockname()[1]}", "http://a..b:80"):
            async with opened(url) as pool:
                await fails(pool, CannotConnect)


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_CONNECT_SECONDS", 0.1)
    with socket.socket() as listener, contextlib.ExitStack() as filled:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # with the queue full, the kernel drops what comes
            caller = filled.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        async with opened(f"http://127.0.0.1:{listener.getsockname()[1]}") as pool:
            await fails(pool, ConnectTimedOut)


async def test_a_name_with_several_addresses(server: Server) -> None:
    """localhost is ::1 as well on most machines, where nobody listens."""
    async with opened(server.url.replace("127.0.0.1", "localhost")) as pool:
        assert (await ask(pool)).content == b"ok"


async def test_an_ipv6_address() -> None:
    try:
        async with serving("::1") as server, opened(server.url.replace("127.0.0.1", "[::1]")) as pool:
            assert (await ask(pool)).content == b"ok"
    except OSError:
        pytest.skip("no IPv6 here")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that nobody but itself vouches for, and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", path, "-out", f"{path}.crt",
         "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


async def test_https_with_a_certificate_that_is_trusted_and_with_one_that_is_not(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with serving(tls=tls) as server:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of the refusal
        async with opened(server.url) as pool:
            await fails(pool, CannotConnect)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with opened(server.url) as pool:
            assert [(await ask(pool)).content for _ in range(2)] == [b"ok"] * 2
            assert server.connections <= 2
