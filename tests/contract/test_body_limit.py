"""A body over the limit is refused with 413: at once where its length is announced, and while it streams where not."""

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import FakeEmbedder

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve(create_app(Settings(max_body_mb=1), FakeEmbedder())) as running:
        yield running


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    with connect(address) as opened:
        yield opened


def body_of(size: int) -> bytes:
    shell = json.dumps({"texts": ["a"], "padding": ""}).encode()
    return shell[:-2] + b"x" * (size - len(shell)) + shell[-2:]


def in_chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


@pytest.mark.parametrize(
    ("size", "status"), [(MIB - 1, 200), (MIB, 200), (MIB + 1, 413), (3 * MIB, 413), (8 * MIB, 413)]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_the_limit(size: int, status: int, chunked: bool, client: httpx.Client) -> None:
    body = body_of(size)
    assert len(body) == size
    content = in_chunks(body) if chunked else body
    answer = client.post("/api/v1/embed-batch", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    if status == 413:
        assert isinstance(answer.json()["detail"], str)
        assert answer.headers["connection"] == "close"


def test_a_refusal_has_its_cors_headers(client: httpx.Client) -> None:
    answer = client.post("/api/v1/embed", content=body_of(MIB + 1), headers={"Origin": "https://a.example"})
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_small_body_in_chunks_is_read_as_any_other(client: httpx.Client) -> None:
    answer = client.post(
        "/api/v1/embed", content=iter([b'{"text"', b': "a"}']), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200
    answer = client.post("/api/v1/embed", content=iter([b'{"text"']), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def talk(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_an_announced_length_is_refused_before_the_body(address: str) -> None:
    with talk(address) as connection:
        head = f"POST /api/v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB + 1}\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"100 Continue" not in answer


def test_who_sends_on_after_the_refusal_is_not_reset_at_once(address: str) -> None:
    with talk(address) as connection:
        connection.sendall(f"POST /api/v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB + 1}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b'"}'):
            received = connection.recv(65536)
            assert received
            answer += received
        assert answer.startswith(b"HTTP/1.1 413 ")
        for chunk in in_chunks(b"x" * (MIB + 1)):
            connection.sendall(chunk)
        # Closed in good order: a reset would raise here or above.
        assert connection.recv(65536) == b""


def test_an_endless_body_is_not_read_on(address: str) -> None:
    with talk(address) as connection:
        connection.sendall(b"POST /api/v1/embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        give_up = time.monotonic() + 20
        sent = 0
        closed = False
        while not closed and time.monotonic() < give_up:
            try:
                connection.sendall(chunk)
                sent += len(chunk)
            except (BrokenPipeError, ConnectionResetError):
                closed = True
        assert closed
        assert sent < 30 * MIB  # three times the limit, and what the sockets buffer
