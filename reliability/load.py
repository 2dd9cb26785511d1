"""Clients of mixed load: single texts and batches, both values of `normalize`, every answer judged."""

import asyncio
import errno
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import orjson

from reliability.corpus import Corpus
from reliability.verdicts import Record, Verdict, judge

CLIENTS = 20
LONGEST_BATCH = 8
GRACE_SECONDS = 1.0  # past the service's deadline; then a request counts as hung

_SINGLE_SHARE = 0.7
_PAUSE_SECONDS = 0.05  # after anything but a right answer, as a client that asks again would make


@asynccontextmanager
async def load(
    url: str,
    corpus: Corpus,
    deadline_seconds: float,
    record: Record,
    clients: int = CLIENTS,
    on_answer: Callable[[float], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Keeps `clients` connections busy while the block runs. `on_answer` takes the seconds of each right answer."""
    timeout = aiohttp.ClientTimeout(total=deadline_seconds + GRACE_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    stop = asyncio.Event()

    async def client(number: int) -> None:
        chance = random.Random(number)
        while not stop.is_set():
            single = chance.random() < _SINGLE_SHARE
            places = chance.sample(range(len(corpus.texts)), 1 if single else chance.randint(1, LONGEST_BATCH))
            normalize = chance.random() < 0.5
            sent = time.monotonic()
            verdict, about = await ask(session, url, corpus, places, normalize, single)
            finished = time.monotonic()
            record.add(sent, finished, verdict, len(places), about)
            if verdict is Verdict.RIGHT:
                on_answer(finished - sent)
            else:
                await asyncio.sleep(_PAUSE_SECONDS)

    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        running = [asyncio.create_task(client(number)) for number in range(clients)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*running)


async def ask(
    session: aiohttp.ClientSession, url: str, corpus: Corpus, places: list[int], normalize: bool, single: bool
) -> tuple[Verdict, str]:
    """One request and the verdict on it, with what came where that is of interest."""
    texts = [corpus.texts[place] for place in places]
    body = {"text": texts[0]} if single else {"texts": texts}
    path = "/api/v1/embed" if single else "/api/v1/embed-batch"
    try:
        async with session.post(
            url + path,
            data=orjson.dumps({**body, "normalize": normalize}),
            headers={"Content-Type": "application/json"},
        ) as response:
            content = await response.read()
            verdict = judge(corpus, places, normalize, single, response.status, response.headers, content)
            return verdict, f"status {response.status} to {len(places)} texts: {content[:200]!r}"
    except asyncio.TimeoutError:
        return Verdict.HUNG, f"no answer to {len(places)} texts"
    except aiohttp.ClientConnectorError as error:
        refused = error.os_error.errno == errno.ECONNREFUSED
        return (Verdict.REFUSED if refused else Verdict.CUT), str(error)
    except (aiohttp.ClientError, OSError) as error:
        return Verdict.CUT, f"{type(error).__name__}: {error}"
