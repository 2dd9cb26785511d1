"""When a connection's time is over: one timer for all of its bounds, and the speed of a transfer."""

import asyncio
import math
from collections.abc import Callable

from proxy.server.http_limits import Limits

# Timers of the event loop count milliseconds.
_TICK_SECONDS = 0.001


class Alarm:
    """A timer that costs nothing to put off: it looks at its time when it fires."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._due = self._fires = math.inf
        self._handle: asyncio.TimerHandle | None = None

    def set(self, due: float) -> None:
        """Rings at `due`, on the event loop's clock, and no longer at any other time; never at infinity."""
        self._due = due
        if due < self._fires:
            self.cancel()
            self._due = self._fires = due
            self._handle = self._loop.call_at(due, self._fire)

    def cancel(self) -> None:
        """Does not ring any more."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._due, self._fires = None, math.inf, math.inf

    def _fire(self) -> None:
        self._handle, self._fires = None, math.inf
        if self._loop.time() >= self._due - _TICK_SECONDS:
            self._due = math.inf
            self._ring()
        else:
            self.set(self._due)


class Pace:
    """Whether a transfer is too slow: without a byte for some seconds, or below the least speed for long."""

    def __init__(self, limits: Limits, stall_seconds: float, now: float) -> None:
        self._limits = limits
        self._stall_seconds = stall_seconds
        self._begun = now
        self._bytes = 0
        self.due = now  # when it is too slow, unless more bytes come
        self.moved(0, now)

    def moved(self, count: int, now: float) -> None:
        """So many bytes came or went."""
        self._bytes += count
        slowest = self._begun + self._limits.slow_seconds + self._bytes / self._limits.slow_bytes_per_second
        self.due = min(now + self._stall_seconds, slowest)

    def waited(self, seconds: float, now: float) -> None:
        """For so long, until now, the other side could not go on: that is not its time."""
        self._begun += seconds
        self.moved(0, now)


class Patience:
    """What a connection waits for, and until when: each of these or none, on one timer.

    `too_late` is called with the name of what did not come: `head`, `body`, `end` or `reader`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, too_late: Callable[[str], None]) -> None:
        self._loop = loop
        self._limits = limits
        self._too_late = too_late
        self._alarm = Alarm(loop, self._look)
        self._head = self._end = math.inf
        self._body: Pace | None = None
        self._reader: Pace | None = None
        self._paused_at: float | None = None
        self._unsent: Callable[[], int] = int
        self._unsent_before = 0

    def head(self, seconds: float) -> None:
        """A head must be complete after so many seconds."""
        self._head, self._end = self._loop.time() + seconds, math.inf

    def head_came(self) -> None:
        """It is."""
        self._head = math.inf

    def end(self, seconds: float) -> None:
        """The connection ends after so many seconds; never after infinitely many."""
        self._end = self._loop.time() + seconds

    def body(self, stall_seconds: float) -> None:
        """A body must go on to come in."""
        self._body = Pace(self._limits, stall_seconds, self._loop.time())

    def body_moved(self, count: int) -> None:
        """So many bytes came."""
        if self._body is not None:
            self._body.moved(count, self._loop.time())

    def body_came(self) -> None:
        """All of it."""
        self._body = None

    @property
    def for_body(self) -> bool:
        """Whether a body is waited for."""
        return self._body is not None

    def reader(self, unsent: Callable[[], int]) -> None:
        """The client must go on to read; `unsent` tells how many bytes it has not taken yet."""
        self._unsent, self._unsent_before = unsent, unsent()
        self._reader = Pace(self._limits, self._limits.write_stall_seconds, self._loop.time())
        self.watch()

    def reader_came(self) -> None:
        """It has read."""
        self._reader = None

    def pause(self) -> None:
        """Nothing is read from the client: it is not its fault that no body comes."""
        self._paused_at = self._loop.time()

    def resume(self) -> None:
        """It is read again."""
        if self._paused_at is not None and self._body is not None:
            now = self._loop.time()
            self._body.waited(now - self._paused_at, now)
        self._paused_at = None

    def watch(self) -> None:
        """Sets the timer to what is due first."""
        due = min(self._head, self._end)
        if self._body is not None and self._paused_at is None:
            due = min(due, self._body.due)
        if self._reader is not None:
            due = min(due, self._reader.due)
        self._alarm.set(due)

    def stop(self) -> None:
        """Nothing is waited for any more."""
        self._alarm.cancel()
        self._head = self._end = math.inf
        self._body = self._reader = None

    def _look(self) -> None:
        now = self._loop.time() + _TICK_SECONDS
        if self._reader is not None and self._reader.due <= now:
            unsent = self._unsent()
            if unsent < self._unsent_before:
                self._reader.moved(self._unsent_before - unsent, now)
                self._unsent_before = unsent
            if self._reader.due <= now:
                self._too_late("reader")
                return
        if self._end <= now:
            self._end = math.inf
            self._too_late("end")
        elif self._head <= now:
            self._head = math.inf
            self._too_late("head")
        elif self._body is not None and self._paused_at is None and self._body.due <= now:
            self._body = None
            self._too_late("body")
        self.watch()
