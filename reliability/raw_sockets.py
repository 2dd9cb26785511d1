"""What no client library sends: HTTP by hand to the proxy, half of it, wrong, too slow, too much."""

import asyncio
import json
import random
import re
import resource

import numpy as np

from reliability.corpus import Corpus
from reliability.findings import Findings, judge_answer, new_mark
from reliability.raw_cases import Case, Door, Statuses, cases, post, text_body

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_PIPELINED = 50
_AT_ONCE = 32
_SPARE_DESCRIPTORS = 300  # for everything else in this process, and in the proxy's, whose limit is the same
_PER_ADDRESS = 20_000  # connections from one address of the loopback, which has 28,000 ports for them


async def try_raw_sockets(url: str, corpus: Corpus, rounds: int, idle: int, seed: int) -> list[Findings]:
    """Each kind so many times, many at once; then slow senders, pipelines and idle connections."""
    door = Door(url)
    chance = random.Random(seed)
    found: dict[str, Findings] = {}
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, case: Case, mark: str) -> None:
        async with gate:
            content = await case.send(door)
        add(found.setdefault(f"HTTP: {name}", Findings(f"HTTP: {name}")), content, mark, case.right)

    for _ in range(rounds):
        mark = new_mark()
        await asyncio.gather(*(one(name, case, mark) for name, case in cases(chance, mark).items()))
    found["slow"] = await _slow_senders(door, corpus, min(rounds, _AT_ONCE))
    found["pipelines"] = await _pipelines(door, corpus, rounds, chance)
    found["idle"] = await _idle_connections(door, corpus, idle)
    return list(found.values())


def add(findings: Findings, content: bytes, mark: str, right: frozenset[Statuses]) -> None:
    """Judges what came back: another client's text, a crash, or other statuses than are right."""
    statuses = tuple(int(status) for status in _STATUS.findall(content))
    if content == b"refused":
        findings.add("refused", f"{findings.name}: refused")
        return
    violation = judge_answer(max(statuses, default=0), content, mark, findings.name)
    if not violation and statuses not in right:
        violation = f"{findings.name}: {statuses}: {content[:150]!r}"
    findings.add(" ".join(map(str, statuses)) or "no answer", violation)


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
