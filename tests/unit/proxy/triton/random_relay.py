"""One address over several HTTP servers, as a balancer: connections and requests are dealt out at random."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def random_relay(ports: Sequence[int], chance: random.Random) -> AsyncIterator[str]:
    """The URL of a relay before the servers on these ports of 127.0.0.1.

    Half of its connections lead to one server each; over the others each request goes to any. After one answer in 10
    its connection ends.
    """
    open_now: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        servers: dict[int, _Streams] = {}
        choices = chance.choice([*([port] for port in ports), *[ports] * len(ports)])
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while True:
                    request = await _message(reader)
                    port = chance.choice(choices)
                    if port not in servers:
                        servers[port] = await asyncio.open_connection("127.0.0.1", port)
                    servers[port][1].write(request)
                    writer.write(await _message(servers[port][0]))
                    if chance.random() < 1 / 10:
                        break
        finally:
            for _, each in servers.values():
                each.close()
            writer.close()
            open_now.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now)


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer, as a whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return head + await reader.readexactly(length)
