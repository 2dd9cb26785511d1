"""The server's stop, over sockets: what was sent is answered, with vectors or with one sentence."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
import uvloop

import proxy.server.server
from proxy.app import create_app
from proxy.server.http_protocol import protocol_for
from proxy.server.server import STOP_SECONDS, Server
from proxy.settings import Settings
from tests.fakes.slow_embedder import SlowEmbedder
from tests.waiting import wait_until

EMBED = "/api/v1/embed"
STOPPING = {"detail": "The service is stopping."}


def request_bytes(text: str) -> bytes:
    body = json.dumps({"text": text}).encode()
    return f"POST {EMBED} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Running:
    """A server in a thread, in front of a slow embedder."""

    def __init__(self) -> None:
        self.embedder = SlowEmbedder()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        config = uvicorn.Config(
            create_app(Settings(), self.embedder),
            http=protocol_for(100),
            log_config=None,
            ws="none",
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self.server = Server(config)
        self.thread = threading.Thread(target=lambda: uvloop.run(self.serve()), daemon=True)
        self.thread.start()
        wait_until(lambda: self.server.started)

    async def serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self.server.serve(sockets=[self.listener])

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)

    def stop(self) -> None:
        """As a signal does; returns when the server has begun to stop."""
        self.server.should_exit = True
        wait_until(lambda: "stopping" in self.server.lifespan.state)

    def wait(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.server.should_exit = True
    made.embedder.release_from_elsewhere()
    made.wait()
    made.listener.close()


def answers(connection: socket.socket) -> list[tuple[int, dict[str, str], Any]]:
    """All until the server closes: status, headers, JSON."""
    received = b""
    while piece := connection.recv(1 << 16):
        received += piece
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers["content-length"])
        found.append((int(first.split()[1]), headers, json.loads(rest[:length])))
        received = rest[length:]
    return found


def assert_stopping(answer: tuple[int, dict[str, str], Any]) -> None:
    status, headers, document = answer
    assert (status, document) == (503, STOPPING)
    assert headers["retry-after"] == "1"
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff", "as every other answer"


def release(running: Running) -> None:
    """Lets the embedder answer what it holds."""
    running.loop.call_soon_threadsafe(running.embedder.release)


def test_what_is_under_way_is_answered_with_vectors(running: Running) -> None:
    with running.connect() as connection:
        connection.sendall(request_bytes("a"))
        wait_until(lambda: len(running.embedder.calls) == 1)
        running.stop()
        release(running)
        ((status, headers, document),) = answers(connection)
        assert (status, headers["connection"]) == (200, "close")
        assert document["dim"] == len(document["embedding"])
    running.wait()


def test_what_takes_too_long_is_answered_with_one_sentence(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy.server.server, "ANSWER_SECONDS", 0.2)
    with running.connect() as connection, running.connect() as half_sent:
        connection.sendall(request_bytes("a"))
        half_sent.sendall(request_bytes("b")[:-3])
        wait_until(lambda: len(running.server.server_state.tasks) == 2)
        running.stop()
        for each in (connection, half_sent):
            (answer,) = answers(each)
            assert_stopping(answer)
    running.wait()
    assert running.embedder.cancelled == 1


def test_a_request_over_a_kept_connection_is_answered(running: Running) -> None:
    with running.connect() as kept, running.connect() as unused, running.connect() as busy:
        kept.sendall(request_bytes("a"))
        wait_until(lambda: len(running.embedder.calls) == 1)
        release(running)
        assert kept.recv(1 << 16).startswith(b"HTTP/1.1 200")
        running.embedder.hold()
        busy.sendall(request_bytes("b"))
        wait_until(lambda: len(running.embedder.calls) == 2)
        running.stop()
        for connection in (kept, unused):
            connection.sendall(request_bytes("c"))
            (answer,) = answers(connection)
            assert_stopping(answer)
        release(running)
        assert answers(busy)[0][0] == 200
    running.wait()


def test_pipelined_requests_are_answered_in_their_order(running: Running) -> None:
    with running.connect() as connection:
        connection.sendall(request_bytes("a") + request_bytes("b"))
        wait_until(lambda: len(running.embedder.calls) == 1)
        running.stop()
        connection.sendall(request_bytes("c"))
        wait_until(lambda: len(running.server.server_state.connections) == 1)
        time.sleep(0.05)  # until the server has read it; where it has not, the test is easier, and passes
        release(running)
        first, second, *third = answers(connection)
        assert (first[0], second[0]) == (200, 200)
        for answer in third:
            assert_stopping(answer)
    running.wait()


def test_connections_without_a_request_do_not_hold_the_stop(running: Running) -> None:
    with running.connect() as silent, httpx.Client(base_url="http://{}:{}".format(*running.address)) as client:
        assert client.get("/health").status_code == 200
        running.stop()
        started = time.monotonic()
        assert silent.recv(1) == b""
        running.wait()
        assert time.monotonic() - started < proxy.server.server.ANSWER_SECONDS


def test_a_connection_that_is_not_accepted_yet_is_served(running: Running) -> None:
    connections: list[socket.socket] = []

    def connect_and_stop() -> None:
        # In the server's own loop, for longer than it sleeps: it sees that it is to stop before it sees who is there.
        connections.extend(running.connect() for _ in range(3))
        for connection in connections:
            connection.sendall(request_bytes("a"))
        running.server.should_exit = True
        time.sleep(0.2)

    running.loop.call_soon_threadsafe(connect_and_stop)
    wait_until(lambda: len(connections) == 3)
    for connection in connections:
        with connection:
            (answer,) = answers(connection)
            assert_stopping(answer)
    with pytest.raises(ConnectionRefusedError):
        running.connect()
    running.wait()
