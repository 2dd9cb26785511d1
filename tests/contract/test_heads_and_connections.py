"""Bounds on a request's head and on open connections, tried over sockets as a client without manners would."""

import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from proxy.app import create_app
from proxy.server.http_limits import MAX_HEAD_BYTES, MAX_HEADERS, Limits
from proxy.server.http_protocol import protocol_for
from proxy.settings import Settings
from tests.contract.requests import EMBED, HEALTH, MODEL_INFO
from tests.contract.serving import serve
from tests.fakes.fake_embedder import FakeEmbedder
from tests.waiting import wait_until

FEW = 5
GET = f"GET {MODEL_INFO} HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve(create_app(Settings(), FakeEmbedder()), protocol_for(FEW)) as running:
        yield running


def connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def read_all(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the one answer before the server closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


def assert_refused(answer: tuple[int, dict[str, str], bytes], status: int) -> None:
    assert answer[0] == status
    assert answer[1]["content-type"] == "application/json"
    assert answer[1]["connection"] == "close"
    assert isinstance(json.loads(answer[2])["detail"], str)


def ask(address: str, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    with connect(address) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent)
        return read_all(connection)


@pytest.mark.parametrize(
    "head",
    [
        b"X: y\r\n" * 10_000,
        b"".join(b"X-%d: y\r\n" % number for number in range(MAX_HEADERS + 1)),
        b"X: " + b"y" * (1 << 20) + b"\r\n",
        b"y" * (1 << 20) + b": x\r\n",
        b"X: " + b"y" * MAX_HEAD_BYTES + b"\r\n",
        b"X: " + b"y" * (64 << 20),  # without an end
    ],
    ids=["10000", "101", "1 MB", "1 MB name", "over by some", "endless"],
)
def test_a_large_head_is_refused(address: str, head: bytes) -> None:
    assert_refused(ask(address, GET + head + b"\r\n"), 431)


def test_a_long_address_is_refused(address: str) -> None:
    assert_refused(ask(address, b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\n\r\n"), 431)


def test_the_largest_head_is_taken(address: str) -> None:
    many = b"".join(b"X-%d: y\r\n" % number for number in range(MAX_HEADERS - 2))
    assert ask(address, GET + b"Connection: close\r\n" + many + b"\r\n")[0] == 200
    large = b"X: " + b"y" * (MAX_HEAD_BYTES - 200) + b"\r\n"
    assert ask(address, GET + b"Connection: close\r\n" + large + b"\r\n")[0] == 200


def test_each_request_of_a_connection_has_the_whole_limit(address: str) -> None:
    large = {"X": "y" * (MAX_HEAD_BYTES // 2)}
    with httpx.Client(base_url=address) as client:
        for _ in range(5):
            body = {"text": "a", "other": "b" * 2 * MAX_HEAD_BYTES}
            assert client.post(EMBED, json=body, headers=large).status_code == 200


def test_what_is_not_http_is_told_in_json(address: str) -> None:
    assert_refused(ask(address, b"HELO there\r\n\r\n"), 400)


def test_half_a_head_does_not_hold_its_place() -> None:
    limits = Limits(head_seconds=0.2)
    with serve(create_app(Settings(), FakeEmbedder()), protocol_for(FEW, limits)) as hasty:
        assert_refused(ask(hasty, GET), 408)
        with connect(hasty) as silent:
            assert silent.recv(1) == b""
        with connect(hasty) as again:  # the second request of a connection, too
            again.sendall(GET + b"\r\n")
            assert b" 200 " in again.recv(65536)
            again.sendall(GET)
            assert_refused(read_all(again), 408)


def test_past_the_limit_a_request_is_refused_and_a_probe_is_not(address: str) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connect(address)) for _ in range(FEW)]
        wait_until(lambda: ask(address, GET + b"Connection: close\r\n\r\n")[0] == 503)
        answer = ask(address, GET + b"\r\n")
        assert_refused(answer, 503)
        assert int(answer[1]["retry-after"]) > 0
        status, headers, _ = ask(address, f"GET {HEALTH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (status, headers["connection"]) == (200, "close")
        held[0].sendall(GET + b"Connection: close\r\n\r\n")  # those within are served as ever
        assert read_all(held[0])[0] == 200
    wait_until(lambda: ask(address, GET + b"Connection: close\r\n\r\n")[0] == 200)
