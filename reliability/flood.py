"""A process of load: so many requests a second whatever comes back, or clients that wait for each answer.

Over raw connections, since the load shares the machine with what it loads. Every answer is judged.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson
import uvloop

from reliability.corpus import Corpus
from reliability.load import GRACE_SECONDS, LONGEST_BATCH
from reliability.verdicts import Verdict, judge

_BATCH_SHARE = 0.1
_TICK_SECONDS = 0.001
_PAUSE_SECONDS = 0.05  # of a waiting client, after anything but a right answer
_MOST_CONNECTIONS = 2_000


class Answer(NamedTuple):
    """What came of one request. Times are of the machine's monotonic clock; `status` is 0 where there was no answer."""

    due: float
    sent: float
    finished: float
    status: int
    verdict: Verdict
    about: str  # empty but for what must not be


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None
        self.open = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or self._answer is None or self._answer.done():
            return
        marks = head.lower()
        length = int(marks.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            if b"connection: close" in marks:
                self.close()
            whole, self._received = self._received, b""
            self._answer.set_result(whole)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed before its answer"))

    def close(self) -> None:
        self.open = False
        self.transport.close()

    async def ask(self, request: bytes, seconds: float) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await asyncio.wait_for(self._answer, seconds)


class Clients:
    """Asks for texts of a corpus over as many connections as are needed."""

    def __init__(self, url: str, corpus: Corpus, deadline_seconds: float, seed: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._corpus = corpus
        self._seconds = deadline_seconds + GRACE_SECONDS
        self._chance = random.Random(seed)
        self._idle: deque[_Connection] = deque()
        self.answers: list[Answer] = []

    async def ask(self, due: float, texts: int) -> Answer:
        """One request for so many texts, which was to be sent at the time `due`."""
        places = [self._chance.randrange(len(self._corpus.texts)) for _ in range(texts)]
        normalize = self._chance.random() < 0.5
        request = self._request(places, normalize)
        sent = time.monotonic()
        try:
            connection = await self._connection()
            sent = time.monotonic()
            whole = await connection.ask(request, self._seconds)
        except asyncio.TimeoutError:
            connection.close()
            return self._end(due, sent, 0, Verdict.HUNG, "no answer")
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            return self._end(due, sent, 0, Verdict.REFUSED if refused else Verdict.CUT, repr(error))
        if connection.open:
            self._idle.append(connection)
        head, _, body = whole.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.title(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split()[1])
        finished = time.monotonic()
        verdict = judge(self._corpus, places, normalize, texts == 1, status, headers, body)
        about = f"{status} to {texts} texts: {body[:200]!r}" if verdict.is_never_right else ""
        return self._end(due, sent, status, verdict, about, finished)

    def close(self) -> None:
        """Closes what is idle."""
        for connection in self._idle:
            connection.close()

    def _end(
        self, due: float, sent: float, status: int, verdict: Verdict, about: str, finished: float | None = None
    ) -> Answer:
        self.answers.append(Answer(due, sent, finished or time.monotonic(), status, verdict, about))
        return self.answers[-1]

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        return (await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port))[1]

    def _request(self, places: list[int], normalize: bool) -> bytes:
        texts = [self._corpus.texts[place] for place in places]
        single = len(texts) == 1
        body = orjson.dumps({**({"text": texts[0]} if single else {"texts": texts}), "normalize": normalize})
        path = "embed" if single else "embed-batch"
        head = f"POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def flood(
    url: str, corpus: Corpus, deadline_seconds: float, seed: int, rate: float, begin: float, end: float
) -> list[Answer]:
    """Sends `rate` requests a second from `begin` to `end`, one in ten a batch, and waits for every answer."""

    async def run(clients: Clients) -> None:
        chance = random.Random(seed + 1)
        under_way: set[asyncio.Task[Answer]] = set()
        due = begin
        while due < end:
            now = time.monotonic()
            while due <= now and due < end and len(under_way) < _MOST_CONNECTIONS:
                batch = chance.random() < _BATCH_SHARE
                task = asyncio.create_task(clients.ask(due, chance.randint(2, LONGEST_BATCH) if batch else 1))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                due += 1 / rate
            await asyncio.sleep(_TICK_SECONDS)
        await asyncio.gather(*under_way)

    return _answers(run, url, corpus, deadline_seconds, seed)


def carry(
    url: str, corpus: Corpus, deadline_seconds: float, seed: int, count: int, begin: float, end: float
) -> list[Answer]:
    """`count` clients ask for single texts from `begin` to `end`, each when it has its answer."""

    async def run(clients: Clients) -> None:
        async def client() -> None:
            while (now := time.monotonic()) < end:
                if (await clients.ask(now, 1)).verdict is not Verdict.RIGHT:
                    await asyncio.sleep(_PAUSE_SECONDS)

        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        await asyncio.gather(*(client() for _ in range(count)))

    return _answers(run, url, corpus, deadline_seconds, seed)


def _answers(
    run: Callable[[Clients], Awaitable[None]], url: str, corpus: Corpus, deadline_seconds: float, seed: int
) -> list[Answer]:
    async def whole() -> list[Answer]:
        clients = Clients(url, corpus, deadline_seconds, seed)
        await run(clients)
        clients.close()
        return clients.answers

    return uvloop.run(whole())
