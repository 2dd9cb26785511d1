"""Bad requests by hand, one of each kind, and the answers that are right for them."""

import asyncio
import contextlib
import functools
import gzip
import json
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_ANSWER_SECONDS = 2.0  # that an answer is waited for, where there may be none
_BOMB_MIB = 64


class Door:
    """The proxy's address, and one way to speak to it."""

    def __init__(self, url: str) -> None:
        self.host, _, port = url.removeprefix("http://").partition(":")
        self.port = int(port)

    async def send(
        self,
        *parts: bytes,
        pause: float = 0.0,
        finish: bool = False,
        seconds: float = _ANSWER_SECONDS,
        to_the_end: bool = False,
    ) -> bytes:
        """Sends the parts, a pause after each; what came back: one answer, or all of them `to_the_end`.

        Less where nothing came for `seconds`.
        """
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            return b"refused"
        received = bytearray()
        try:
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
                if finish:
                    writer.write_eof()
                while to_the_end or not is_whole(received):
                    chunk = await asyncio.wait_for(reader.read(1 << 16), seconds)
                    if not chunk:
                        break
                    received += chunk
        finally:
            writer.close()
        return bytes(received)


def post(body: bytes, *headers: str, path: str = "/api/v1/embed", length: str | None = None) -> bytes:
    """A whole request, with another Content-Length where `length` says so (none where it is empty)."""
    announced = str(len(body)) if length is None else length
    lines = [f"POST {path} HTTP/1.1", "Host: fuzz", "Content-Type: application/json", *headers]
    if announced:
        lines.append(f"Content-Length: {announced}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def text_body(text: str) -> bytes:
    """One text as the route takes it."""
    return json.dumps({"text": text}).encode()


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(bytes(_BOMB_MIB << 20), 9)


Statuses = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """What is sent, and the statuses that may come back for it, one for each answer; `()` is none."""

    send: Callable[[Door], Awaitable[bytes]]
    right: frozenset[Statuses]


def one_of(send: Callable[[Door], Awaitable[bytes]], *right: Statuses | int) -> Case:
    """A case of which each of these is right."""
    return Case(send, frozenset((each,) if isinstance(each, int) else each for each in right))


def cases(chance: random.Random, mark: str) -> dict[str, Case]:
    """Each kind of bad request once, with other numbers each time; `mark` is in its text.

    Who ends a connection with half a request, or while its answer is made, gets none.
    """
    whole = post(text_body(mark))
    cut = chance.randrange(1, len(whole))
    body = text_body(mark)
    noise = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 400)))
    mutated = bytearray(whole)
    for _ in range(chance.randrange(1, 6)):
        # Not in the mark, which would then be another input's.
        mutated[chance.randrange(whole.index(mark.encode()))] = chance.randrange(256)
    shorter, longer = str(chance.randrange(len(body))), str(len(body) + chance.randrange(1, 1000))
    odd = chance.choice(["-1", "a", "1e3", "0x10", "9" * 30, f"{len(body)}, {len(body)}", "+5", " "])
    chunks = post(b"", "Transfer-Encoding: chunked", length="") + b"5\r\n" + body[:5] + b"\r\n"
    headers = [f"X-{number}: {'a' * chance.randrange(1, 20)}" for number in range(10_000)]
    bomb = _bomb()
    closing = b"GET /nothing HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n"

    def upgrading(*upgrade: str) -> Case:
        """Ignored, and the body is read when it comes later, too: the request behind it is the next one."""
        asks = post(body, *upgrade)
        head, text = asks[: -len(body)], asks[-len(body) :]
        parts = [asks, closing] if chance.random() < 0.5 else [head, text, closing]
        return one_of(lambda door: door.send(*parts, pause=0.01, seconds=20, to_the_end=True), (200, 404))

    return {
        "half a request, then the end": one_of(lambda door: door.send(whole[:cut], finish=True), ()),
        "half a request, then silence": one_of(lambda door: door.send(whole[:cut], seconds=0.3), ()),
        # What is too much is taken for a further request, which is none.
        "Content-Length too small": one_of(
            lambda door: door.send(post(body, length=shorter), seconds=20, to_the_end=True), (422, 400)
        ),
        "Content-Length too large": one_of(lambda door: door.send(post(body, length=longer), finish=True), ()),
        "Content-Length that is no length": one_of(lambda door: door.send(post(body, length=odd), finish=True), 400),
        "two lengths": one_of(lambda door: door.send(post(body, f"Content-Length: {longer}"), finish=True), 400),
        "length and chunks": one_of(lambda door: door.send(post(body, "Transfer-Encoding: chunked"), finish=True), 400),
        "chunks without an end": one_of(lambda door: door.send(chunks, chunks[-10:], seconds=0.3), ()),
        "a chunk of no size": one_of(lambda door: door.send(chunks + b"zz\r\n", finish=True), 400),
        "trailers without an end": one_of(
            lambda door: door.send(chunks + b"0\r\n" + b"X: y\r\n" * 100_000, seconds=20), 431
        ),
        "10,000 headers": one_of(lambda door: door.send(post(body, *headers)), 431),
        "a header of 1 MB": one_of(lambda door: door.send(post(body, f"X-Long: {'a' * (1 << 20)}"), finish=True), 431),
        "a path of 1 MB": one_of(lambda door: door.send(post(body, path="/" + "a" * (1 << 20)), finish=True), 431),
        "noise": one_of(lambda door: door.send(noise, finish=True), 400, ()),
        "a request with bytes changed": one_of(
            lambda door: door.send(bytes(mutated), finish=True),
            *((), 200, 400, 404, 405, 413, 415, 422),
            *((status, 400) for status in (200, 404, 405, 422)),  # where its length became smaller
        ),
        "gzip": one_of(lambda door: door.send(post(gzip.compress(body), "Content-Encoding: gzip"), seconds=20), 200),
        "gzip bomb": one_of(lambda door: door.send(post(bomb, "Content-Encoding: gzip"), seconds=20), 413),
        "what is no gzip": one_of(lambda door: door.send(post(noise, "Content-Encoding: gzip"), seconds=20), 400),
        "another coding": one_of(lambda door: door.send(post(noise, "Content-Encoding: br"), seconds=20), 415),
        "deep JSON": one_of(lambda door: door.send(post(b"[" * 100_000 + b"]" * 100_000), seconds=20), 422),
        "a number of 100,000 digits": one_of(
            lambda door: door.send(post(b'{"text": ' + b"9" * 100_000 + b"}"), seconds=20), 400
        ),
        "not UTF-8": one_of(lambda door: door.send(post(b'{"text": "\xff\xfe"}'), seconds=20), 400),
        "another protocol": one_of(
            lambda door: door.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise, finish=True), 400
        ),
        "an upgrade to WebSocket": upgrading("Connection: Upgrade", "Upgrade: websocket"),
        "an upgrade to HTTP/2": upgrading("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"),
    }


def is_whole(received: bytearray | bytes) -> bool:
    """Whether this is one whole answer, after which the server may say nothing more."""
    head, found, rest = bytes(received).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    return bool(found) and length is not None and len(rest) == int(length[1])
