"""A TCP relay between proxy and Triton that can lose, tear and slow down what passes, on the streams of asyncio.

Not `tc` in a network namespace: netem is a module of the kernel that many machines lack, and both need root.
"""

import asyncio
import contextlib
import enum
import socket
import struct
from typing import Any

_CHUNK_BYTES = 1 << 16
_PACKET_BYTES = 1460
_TORN_AFTER_BYTES = 100  # of an answer: within its head
_SLOW_SECONDS = 0.2  # before each chunk
_SLOW_PACKET_SECONDS = 0.002  # and after each packet of it: about 700 kB/s
_CLOSE_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: the peer gets a reset


class Mode(enum.Enum):
    """What happens to what passes."""

    PASS = "passed on"
    SLOW = "slow"
    SILENT = "held back"
    TORN = "torn"  # each answer, after its first bytes


class Relay:
    """Listens on a free port of the loopback and passes on to `port`."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self.mode = Mode.PASS
        self.port = 0

    async def listen(self) -> None:
        """Takes connections: at first on any port, later on the same."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def refuse(self) -> None:
        """Takes no more connections, and resets those that there are."""
        if self._server is not None:
            self._server.close()
        self.reset()

    async def close(self) -> None:
        """Ends it all."""
        self.behave(Mode.PASS)
        await self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def behave(self, mode: Mode) -> None:
        """From now on, for the connections there are too."""
        self.mode = mode
        (self._passing.clear if mode is Mode.SILENT else self._passing.set)()

    @property
    def connections(self) -> int:
        """Passed on now."""
        return len(self._writers) // 2

    def reset(self) -> None:
        """Resets every connection, on both sides."""
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            _reset(writer)
            return
        ends = (writer, to_upstream)
        self._writers.update(ends)
        pumps = [
            asyncio.create_task(self._pump(reader, to_upstream, is_answer=False)),
            asyncio.create_task(self._pump(upstream, writer, is_answer=True)),
        ]
        self._tasks.update(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._tasks.difference_update(pumps)
            self._writers.difference_update(ends)
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._passing.wait()
                if self.mode is Mode.TORN and is_answer:
                    writer.write(data[:_TORN_AFTER_BYTES])
                    await writer.drain()
                    return
                if self.mode is Mode.SLOW:
                    await asyncio.sleep(_SLOW_SECONDS)
                    for start in range(0, len(data), _PACKET_BYTES):
                        writer.write(data[start : start + _PACKET_BYTES])
                        await asyncio.sleep(_SLOW_PACKET_SECONDS)
                else:
                    writer.write(data)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_AT_ONCE)
    writer.transport.abort()
