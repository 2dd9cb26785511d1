"""Time and size of all that a client can send or leave unread, and the order of answers when a bound is passed."""

import asyncio
import gc
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from proxy.app import create_app
from proxy.server.http_exchange import Exchange
from proxy.server.http_limits import MAX_HEAD_BYTES, MAX_HEADERS, Limits
from proxy.server.http_protocol import BoundedProtocol, protocol_for
from proxy.settings import Settings
from tests.contract.raw_http import RawClient, request, text_request
from tests.contract.requests import EMBED, EMBEDDINGS, LIVE, MODEL_INFO
from tests.contract.serving import serve
from tests.fakes.fake_embedder import MODEL, FakeEmbedder
from tests.fakes.slow_embedder import SlowEmbedder
from tests.waiting import wait_until

TEXT = json.dumps({"text": "갈비탕"}).encode()
CHUNKED = f"POST {EMBED} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
ONE_CHUNK = CHUNKED.encode() + b"%x\r\n%s\r\n" % (len(TEXT), TEXT)
LAST = request(b"", "Connection: close", method="GET", path=MODEL_INFO)
SHORT = 0.2
HASTY = Limits(head_seconds=SHORT, stall_seconds=SHORT, write_stall_seconds=SHORT, drain_stall_seconds=SHORT)
LARGE_ANSWER = request(method="GET", path="/docs/assets/redoc.standalone.js")
LOCKED = Settings.model_validate({"api_keys": "key"})


class HeldEmbedder(SlowEmbedder):
    """Answers when a test's own thread says so."""

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    def let_go(self) -> None:
        self._loop.call_soon_threadsafe(self.release)


@pytest.fixture(autouse=True)
def no_errors_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does, it is no traceback."""
    yield
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@contextmanager
def serving(
    limits: Limits = Limits(),  # noqa: B008
    embedder: Any = None,
    settings: Settings = Settings(),  # noqa: B008
) -> Iterator[tuple[str, list[BoundedProtocol]]]:
    """The address, and the connections that are open."""
    connections: list[BoundedProtocol] = []

    class Watched(protocol_for(100, limits)):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            connections.append(self)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            connections.remove(self)

    with serve(create_app(settings, embedder or FakeEmbedder()), Watched) as address:
        yield address, connections


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as (running, _):
        yield running


@pytest.mark.parametrize(
    "rest",
    [
        b"0\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(MAX_HEADERS)) + b"\r\n",
        b"0\r\n" + b"X: y\r\n" * 300_001,
        b"0\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n",
        b"0\r\nX: " + b"y" * (MAX_HEAD_BYTES + 8192),
        b"1;" + b"y" * (1 << 20),
        b"1" + b";a=b" * (1 << 18),
    ],
    ids=["one too many", "300001", "1 MB", "without an end", "extension without an end", "many extensions"],
)
def test_what_surrounds_chunks_counts_as_a_head_does(rest: bytes, address: str) -> None:
    with RawClient(address) as client:
        client.send(ONE_CHUNK + rest)
        (answer,) = client.answers()
        assert (answer.status, answer.headers["connection"]) == (431, "close")


def test_trailers_are_taken_and_dropped(address: str) -> None:
    trailers = b"".join(b"X-%d: y\r\n" % number for number in range(MAX_HEADERS - 10))
    with RawClient(address) as client:
        for _ in range(3):
            client.send(ONE_CHUNK + b"0\r\n" + trailers + b"\r\n")
            answer = client.answer()
            assert answer is not None
            assert answer.status == 200
    with serving(settings=LOCKED) as (locked, _), RawClient(locked) as client:
        client.send(ONE_CHUNK + b"0\r\nX-API-Key: key\r\n\r\n")
        answer = client.answer()
        assert answer is not None
        assert answer.status == 401


def test_a_body_in_chunks_of_one_byte(address: str) -> None:
    body = json.dumps({"text": "a", "padding": "x" * 100_000}).encode()
    with RawClient(address) as client:
        client.send(CHUNKED.encode() + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        answer = client.answer()
        assert answer is not None
        assert answer.status == 200


@pytest.mark.parametrize(
    "begun",
    [request(TEXT)[:-5], ONE_CHUNK, ONE_CHUNK + b"0\r\nX: y\r\n", ONE_CHUNK + b"5", request(TEXT)[: -len(TEXT)]],
    ids=["length", "chunks", "trailers", "size", "no byte"],
)
@pytest.mark.parametrize("path", [EMBED, "/v1/embeddings"])
def test_a_body_that_stops_is_given_up(begun: bytes, path: str) -> None:
    with serving(HASTY) as (address, connections), RawClient(address) as client:
        client.send(begun.replace(EMBED.encode(), path.encode()))
        (answer,) = client.answers()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert isinstance(answer.json["detail"] if path == EMBED else answer.json["error"]["message"], str)
        client.socket.close()
        wait_until(lambda: not connections)


def test_a_slow_but_steady_body_is_waited_for() -> None:
    limits = Limits(head_seconds=1, stall_seconds=1, drain_stall_seconds=1)
    with serving(limits) as (address, _), RawClient(address) as client:
        whole, began = request(TEXT), time.monotonic()
        client.send(whole[: -len(TEXT)])
        for byte in TEXT:
            client.send(bytes([byte]))
            time.sleep(0.06)
        assert time.monotonic() - began > limits.stall_seconds
        answer = client.answer()
        assert answer is not None
        assert answer.status == 200


def test_a_trickle_is_given_up_in_the_end() -> None:
    limits = Limits(stall_seconds=60, slow_seconds=SHORT, slow_bytes_per_second=1e6)
    with serving(limits) as (address, _), RawClient(address) as client:
        client.send(request(b"x" * 1000)[:-1000])
        client.send(*(b"x" for _ in range(10)))
        assert [answer.status for answer in client.answers()] == [408]


def test_after_an_early_answer_the_body_is_not_waited_for_long() -> None:
    limits = Limits(drain_stall_seconds=SHORT)
    with serving(limits, settings=LOCKED) as (address, connections):
        for begun in (request(TEXT)[: -len(TEXT)], ONE_CHUNK):
            with RawClient(address) as client:
                client.send(begun)
                assert [answer.status for answer in client.answers()] == [401]
        wait_until(lambda: not connections)
    with serving(Limits(drain_seconds=SHORT), settings=LOCKED) as (address, _), RawClient(address) as client:
        client.send(ONE_CHUNK)
        began = time.monotonic()
        client.socket.settimeout(0.01)
        sent = 0
        while time.monotonic() - began < 20:  # a chunk now and then, without an end
            client.send(b"1\r\nx\r\n")
            sent += 1
            try:
                if client.answer() is None:
                    break
            except TimeoutError:
                continue
        assert time.monotonic() - began < 20


def test_after_an_early_answer_the_connection_goes_on_where_the_body_comes() -> None:
    with serving(settings=LOCKED) as (address, _), RawClient(address) as client:
        whole = request(json.dumps({"text": "a", "padding": "x" * 300_000}).encode())
        client.send(whole[:200])
        first = client.answer()
        client.send(whole[200:], request(method="GET", path=LIVE))
        second = client.answer()
        assert first is not None
        assert second is not None
        assert (first.status, second.status) == (401, 200)


def test_a_client_that_waited_to_be_told_is_told_that_the_connection_ends() -> None:
    with serving(settings=LOCKED) as (address, _), RawClient(address) as client:
        client.send(request(TEXT, "Expect: 100-continue")[: -len(TEXT)])
        answer = client.answer()
        assert answer is not None
        assert (answer.status, answer.headers["connection"]) == (401, "close")


def test_who_does_not_read_is_cut(address: str) -> None:
    wanted = 40
    with serving(HASTY) as (hasty, connections), RawClient(hasty, receive_buffer=4096) as client:
        client.send(LARGE_ANSWER * wanted)
        wait_until(lambda: connections)
        wait_until(lambda: not connections)
    with RawClient(address) as client:  # who reads has it all
        client.send(LARGE_ANSWER * wanted + LAST)
        assert [answer.status for answer in client.answers()] == [200] * (wanted + 1)


def test_who_reads_nothing_of_the_last_answer_is_cut() -> None:
    last = LARGE_ANSWER.replace(b"Host:", b"Connection: close\r\nHost:")
    with serving(HASTY) as (hasty, connections), RawClient(hasty, receive_buffer=4096) as client:
        client.send(LARGE_ANSWER * 10 + last)
        wait_until(lambda: connections)
        wait_until(lambda: not connections)


def embeddings(*headers: str) -> bytes:
    """Asks for an answer that is large, and written in one piece."""
    body = json.dumps({"input": [str(number) for number in range(2048)], "model": MODEL.name}).encode()
    return request(body, *headers, path=EMBEDDINGS)


@pytest.mark.parametrize("asked", [LARGE_ANSWER, embeddings()], ids=["in pieces", "in one piece"])
def test_an_answer_that_is_cut_is_counted_as_one_to_a_client_that_left(
    asked: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = asked.split()[1].decode()

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if path in record.getMessage()]

    with serving(HASTY) as (hasty, connections):
        with RawClient(hasty, receive_buffer=4096) as client:
            client.send(asked * 40)
            wait_until(lambda: connections)
            wait_until(lambda: not connections)
        wait_until(lambda: any(" 499 " in line for line in lines()))
        *read, cut = lines()
        assert all(f"{path} 200 " in line and "left" not in line for line in read)
        assert f"{path} 499 " in cut
        assert cut.endswith("the client had left")
        told = httpx.get(f"{hasty}/metrics", headers={"Connection": "close"}).text
        route = path if path == EMBEDDINGS else "other"
        assert f'embedding_requests_total{{route="{route}",status="499"}} 1.0' in told.splitlines()


def test_a_large_answer_that_is_read_late_is_none_that_was_cut(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serving() as (address, connections), RawClient(address, receive_buffer=4096) as client:
        client.send(embeddings() * 40 + embeddings("Connection: close"))
        wait_until(lambda: any(connection.write_paused for connection in connections))
        assert [answer.status for answer in client.answers()] == [200] * 41
        wait_until(lambda: sum(f"{EMBEDDINGS} 200 " in record.getMessage() for record in caplog.records) == 41)


def test_who_waits_for_a_long_answer_is_not_cut() -> None:
    embedder = HeldEmbedder()
    with serving(HASTY, embedder) as (address, _), RawClient(address) as client:
        client.send(text_request("a"))
        wait_until(lambda: embedder.calls)
        time.sleep(5 * SHORT)
        embedder.let_go()
        answer = client.answer()
        assert answer is not None
        assert answer.status == 200


def exchanges() -> int:
    """How many are in memory."""
    gc.collect()
    return sum(type(each) is Exchange for each in gc.get_objects())


def test_few_requests_of_a_pipeline_are_in_hand() -> None:
    embedder, count = HeldEmbedder(), 3449
    one, before = b"GET / HTTP/1.1\r\n\r\n", exchanges()
    with serving(embedder=embedder) as (address, _), RawClient(address) as client:
        client.send(text_request("a"))
        wait_until(lambda: embedder.calls)
        client.send(one * count + LAST)
        time.sleep(0.1)  # until the server has read it; where it has not, the test is easier, and passes
        assert exchanges() - before < 100
        embedder.let_go()
        assert [answer.status for answer in client.answers()] == [200, *[404] * count, 200]


def test_bodies_of_a_pipeline_are_not_kept_without_bound() -> None:
    embedder = HeldEmbedder()
    large = request(json.dumps({"text": "a", "padding": "x" * 1_000_000}).encode())
    with serving(embedder=embedder) as (address, _), RawClient(address) as client:
        client.send(text_request("a"))
        wait_until(lambda: embedder.calls)
        client.socket.setblocking(False)
        sent = 0
        give_up = time.monotonic() + 1
        while time.monotonic() < give_up and sent < 50_000_000:
            try:
                sent += client.socket.send(large)
            except BlockingIOError:
                time.sleep(0.01)
        assert sent < 50_000_000  # what the sockets hold
        embedder.let_go()


BAD: dict[str, tuple[bytes, int]] = {
    "no HTTP": (b"HELO there\r\n\r\n", 400),
    "large head": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    "half a head": (b"GET / HTTP/1.1\r\n", 408),
    "half a body": (request(TEXT)[:-3], 408),
    "bad chunk": (ONE_CHUNK + b"zz\r\n", 400),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("before", [1, 3])
def test_a_refusal_comes_after_the_answers_to_what_was_before(bad: str, before: int) -> None:
    content, status = BAD[bad]
    embedder = HeldEmbedder()
    with serving(HASTY, embedder) as (address, _), RawClient(address) as client:
        client.send(b"".join(text_request(f"text {number}") for number in range(before)) + content)
        wait_until(lambda: embedder.calls)
        time.sleep(2 * SHORT)  # until the refusal is due
        embedder.let_go()
        assert [answer.status for answer in client.answers()] == [200] * before + [status]


def test_a_connection_that_is_idle_for_long_makes_room() -> None:
    limits = Limits(evicted_after_seconds=SHORT)
    few = 3

    def ask(client: RawClient) -> int:
        client.send(request(method="GET", path=MODEL_INFO))
        answer = client.answer()
        assert answer is not None
        return answer.status

    with serve(create_app(Settings(), FakeEmbedder()), protocol_for(few, limits)) as address:
        silent, *used = [RawClient(address) for _ in range(few)]
        for client in used:
            assert ask(client) == 200
        with RawClient(address) as surplus:
            assert ask(surplus) == 503  # nobody is idle for long
        time.sleep(2 * SHORT)
        assert ask(used[0]) == 200
        with RawClient(address) as new:
            assert ask(new) == 200
            assert silent.is_closed()
            with RawClient(address) as newer:
                assert ask(newer) == 200
                assert used[1].is_closed()
                assert ask(used[0]) == 200
        for client in (silent, *used):
            client.socket.close()


@pytest.mark.parametrize("used", [True, False])
def test_an_idle_connection_is_kept_for_the_time_that_is_set(used: bool) -> None:
    app: Callable[..., Any] = create_app(Settings(), FakeEmbedder())
    with (
        serve(app, protocol_for(100, Limits(head_seconds=SHORT)), keep_alive=1) as address,
        RawClient(address) as client,
    ):
        if used:
            client.send(request(method="GET", path=MODEL_INFO))
            assert client.answer() is not None
        began = time.monotonic()
        assert client.is_closed()
        assert (time.monotonic() - began > 0.9) == used
