"""Tells whether the engine's process is still the one that it was: a connection held open ends with the process."""

import asyncio
import contextlib
from urllib.parse import urlsplit

from proxy.deadlines import timeout

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0


class ProcessWatch:
    """Holds one idle connection to `url` (http://host:port), and makes a new one when it ends."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._connections = 0
        self._connected = False
        self._hurry = asyncio.Event()  # ends the pause before the next try
        self._changed = asyncio.Event()  # set and replaced with each connection
        self._task: asyncio.Task[None] | None = None

    @property
    def process(self) -> int | None:
        """A number that stays the same for as long as one process surely runs; None while that is not known."""
        return self._connections if self._connected else None

    async def connected(self, seconds: float) -> int | None:
        """The process, of which somebody knows that it is there; waits for the connection at most so long."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with timeout(seconds):
                while not self._connected:
                    self._hurry.set()
                    await self._changed.wait()
        return self.process

    async def open(self) -> None:
        """Starts to watch; does not wait for the engine to be there."""
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Ends the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _watch(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            except OSError:
                self._hurry.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    async with timeout(pause):
                        await self._hurry.wait()
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            pause = _FIRST_PAUSE_SECONDS
            self._connections += 1
            self._connected = True
            self._changed.set()
            self._changed = asyncio.Event()
            try:
                with contextlib.suppress(OSError):
                    while await reader.read(1024):  # nothing was asked: whatever comes, only the end matters
                        pass
            finally:
                self._connected = False
                writer.close()
            await asyncio.sleep(_FIRST_PAUSE_SECONDS)
