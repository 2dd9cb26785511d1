"""What no client library sends: HTTP by hand to the proxy, half of it, wrong, too slow, too much."""

import asyncio
import contextlib
import functools
import gzip
import json
import random
import re
import resource
from collections.abc import Awaitable, Callable

import numpy as np

from reliability.corpus import Corpus
from reliability.findings import Findings, judge_answer, new_mark

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_ANSWER_SECONDS = 2.0  # that an answer is waited for, where there may be none
_PIPELINED = 50
_AT_ONCE = 32
_SPARE_DESCRIPTORS = 300  # for everything else in this process, and in the proxy's, whose limit is the same
_PER_ADDRESS = 20_000  # connections from one address of the loopback, which has 28,000 ports for them
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
                while to_the_end or not _is_whole(received):
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


def cases(chance: random.Random, mark: str) -> dict[str, Callable[[Door], Awaitable[bytes]]]:
    """Each kind of bad request once, with other numbers each time; `mark` is in its text."""
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
    return {
        "half a request, then the end": lambda door: door.send(whole[:cut], finish=True),
        "half a request, then silence": lambda door: door.send(whole[:cut], seconds=0.3),
        "Content-Length too small": lambda door: door.send(post(body, length=shorter), finish=True),
        "Content-Length too large": lambda door: door.send(post(body, length=longer), finish=True),
        "Content-Length that is no length": lambda door: door.send(post(body, length=odd), finish=True),
        "two lengths": lambda door: door.send(post(body, f"Content-Length: {longer}"), finish=True),
        "length and chunks": lambda door: door.send(post(body, "Transfer-Encoding: chunked"), finish=True),
        "chunks without an end": lambda door: door.send(chunks, chunks[-10:], seconds=0.3),
        "a chunk of no size": lambda door: door.send(chunks + b"zz\r\n", finish=True),
        "10,000 headers": lambda door: door.send(post(body, *headers)),
        "a header of 1 MB": lambda door: door.send(post(body, f"X-Long: {'a' * (1 << 20)}"), finish=True),
        "a path of 1 MB": lambda door: door.send(post(body, path="/" + "a" * (1 << 20)), finish=True),
        "noise": lambda door: door.send(noise, finish=True),
        "a request with bytes changed": lambda door: door.send(bytes(mutated), finish=True),
        "gzip bomb": lambda door: door.send(post(bomb, "Content-Encoding: gzip"), seconds=20),
        "deep JSON": lambda door: door.send(post(b"[" * 100_000 + b"]" * 100_000), seconds=20),
        "a number of 100,000 digits": lambda door: door.send(post(b'{"text": ' + b"9" * 100_000 + b"}"), seconds=20),
        "not UTF-8": lambda door: door.send(post(b'{"text": "\xff\xfe"}')),
        "another protocol": lambda door: door.send(
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise, finish=True
        ),
        "an upgrade": lambda door: door.send(post(body, "Connection: Upgrade", "Upgrade: websocket")),
    }


async def try_raw_sockets(url: str, corpus: Corpus, rounds: int, idle: int, seed: int) -> list[Findings]:
    """Each kind so many times, many at once; then slow senders, pipelines and idle connections."""
    door = Door(url)
    chance = random.Random(seed)
    found: dict[str, Findings] = {}
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, case: Callable[[Door], Awaitable[bytes]], mark: str) -> None:
        async with gate:
            content = await case(door)
        _add(found.setdefault(f"HTTP: {name}", Findings(f"HTTP: {name}")), content, mark)

    for _ in range(rounds):
        mark = new_mark()
        await asyncio.gather(*(one(name, case, mark) for name, case in cases(chance, mark).items()))
    found["slow"] = await _slow_senders(door, corpus, min(rounds, _AT_ONCE))
    found["pipelines"] = await _pipelines(door, corpus, rounds, chance)
    found["idle"] = await _idle_connections(door, corpus, idle)
    return list(found.values())


def _add(findings: Findings, content: bytes, mark: str) -> None:
    statuses = [int(status) for status in _STATUS.findall(content)]
    if content == b"refused":
        findings.add("refused", f"{findings.name}: refused")
        return
    violation = judge_answer(max(statuses, default=0), content, mark, findings.name)
    findings.add(str(statuses[0]) if statuses else "no answer", violation)


async def _slow_senders(door: Door, corpus: Corpus, count: int) -> Findings:
    """A byte at a time, from as many clients: slow, and in order."""
    findings = Findings("HTTP: a byte at a time")
    places = [number % len(corpus.texts) for number in range(count)]
    requests = [post(text_body(corpus.texts[place])) for place in places]
    answers = await asyncio.gather(
        *(door.send(*(bytes([byte]) for byte in request), pause=0.005, seconds=20) for request in requests)
    )
    for place, content in zip(places, answers, strict=True):
        findings.add("200", "" if _are_right(corpus, [place], content) else f"slow: {content[:150]!r}")
    return findings


async def _pipelines(door: Door, corpus: Corpus, count: int, chance: random.Random) -> Findings:
    """Many requests before the first answer: each answered, in order."""
    findings = Findings(f"HTTP: {_PIPELINED} requests in a pipeline")
    for _ in range(count):
        places = chance.choices(range(len(corpus.texts)), k=_PIPELINED)
        requests = [post(text_body(corpus.texts[place])) for place in places]
        requests[-1] = requests[-1].replace(b"Host:", b"Connection: close\r\nHost:", 1)
        content = await door.send(b"".join(requests), seconds=30, to_the_end=True)
        right = _are_right(corpus, places, content)
        findings.add("200", "" if right else f"pipeline: {len(_STATUS.findall(content))} answers, not all right")
    return findings


async def _idle_connections(door: Door, corpus: Corpus, wanted: int) -> Findings:
    """Connections that ask nothing, as far as this process may open them, while one client goes on asking."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(wanted, hard - _SPARE_DESCRIPTORS)
    findings = Findings(f"HTTP: {count:,} idle connections")
    writers = []
    try:
        for number in range(count):
            try:
                ours = (f"127.0.0.{1 + number // _PER_ADDRESS}", 0)
                opening = asyncio.open_connection(door.host, door.port, local_addr=ours)
                writers.append((await asyncio.wait_for(opening, 10))[1])
                findings.add("open")
            except (OSError, asyncio.TimeoutError) as error:
                findings.add("refused", f"idle connection {number}: {type(error).__name__}")
                break
        content = await door.send(post(text_body(corpus.texts[0])), seconds=20)
        if not _are_right(corpus, [0], content):
            findings.blame(f"beside {len(writers)} idle connections: {content[:150]!r}")
    finally:
        for writer in writers:
            writer.close()
    return findings


def _are_right(corpus: Corpus, places: list[int], content: bytes) -> bool:
    """Whether `content` is answers to these single texts, in order, and nothing else."""
    rows = []
    while content:
        head, _, rest = content.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if length is None or not head.startswith(b"HTTP/1.1 200 "):
            return False
        rows.append(json.loads(rest[: int(length[1])])["embedding"])
        content = rest[int(length[1]) :]
    return len(rows) == len(places) and corpus.is_right(places, True, np.array(rows, dtype=np.float32))


def _is_whole(received: bytearray | bytes) -> bool:
    """Whether this is one whole answer, after which the server may say nothing more."""
    head, found, rest = bytes(received).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    return bool(found) and length is not None and len(rest) == int(length[1])
