"""Keeps a service running: starts it, starts it again when it dies, and stops it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from runtime.errors import ChildFailed
from runtime.processes import Child, describe_exit

POLL_SECONDS = 0.05
INSPECT_SECONDS = 0.5  # between two looks at a service that is up


@dataclass(frozen=True)
class Patience:
    """How long to wait before a service that died is started again."""

    first_delay_seconds: float = 0.2
    longest_delay_seconds: float = 5.0
    # A service that was up for as long has no fault that comes at the start: its next delay is the first again.
    steady_seconds: float = 10.0
    deaths_before_up: int = 5


@dataclass
class Service:
    """A program that must run as long as the launcher does."""

    name: str
    start: Callable[[], Child]
    is_up: Callable[[], Awaitable[bool]]
    tell: Callable[[str], None]  # a line for the user
    on_up: Callable[[], None] = lambda: None
    after_exit: Callable[[], None] = lambda: None  # when none of its processes is left
    last_error: Callable[[], str] = lambda: ""
    broken: Callable[[int], str] = lambda _: ""  # by its process id: why it is of no use, though it runs
    # By its process id: why it is of no use, though it runs; returns not before it is.
    stuck: Callable[[int], Awaitable[str]] | None = None
    patience: Patience = Patience()
    child: Child | None = field(default=None, init=False)
    was_up: bool = field(default=False, init=False)
    up: bool = field(default=False, init=False)

    async def keep_running(self) -> None:
        """Returns never; to be cancelled, and then `stop` called.

        Raises `ChildFailed` when the service dies too often before it was ever up.
        """
        deaths = 0
        delay = self.patience.first_delay_seconds
        while True:
            child = self.child = self.start()
            watch = asyncio.create_task(self._watch())
            inspections = [asyncio.create_task(self._inspect(child)), asyncio.create_task(self._ask_on(child))]
            try:
                code = await asyncio.shield(child.exited)
            finally:
                watch.cancel()
                for inspection in inspections:
                    inspection.cancel()
            up_since = await asyncio.gather(watch, return_exceptions=True)
            self.up = False
            self._clean(child)
            deaths += 1
            if not self.was_up and deaths >= self.patience.deaths_before_up:
                why = self.last_error()
                raise ChildFailed(
                    f"{self.name} {describe_exit(code)} {deaths} times and was never up{': ' + why if why else ''}."
                )
            if isinstance(up_since[0], float) and time.monotonic() - up_since[0] >= self.patience.steady_seconds:
                delay = self.patience.first_delay_seconds
            self.tell(f"{self.name} {describe_exit(code)}; starting it again in {delay:.1f} s.")
            await asyncio.sleep(delay)
            delay = min(2 * delay, self.patience.longest_delay_seconds)

    async def _watch(self) -> float:
        """Waits until the service is up, and returns when that was (monotonic seconds)."""
        while not await self.is_up():
            await asyncio.sleep(POLL_SECONDS)
        if self.was_up:
            self.tell(f"{self.name} is up again.")
        self.was_up = self.up = True
        self.on_up()
        return time.monotonic()

    async def _inspect(self, child: Child) -> None:
        """Kills a child that runs, but is broken."""
        while not self.up or not (why := self.broken(child.process.pid)):
            await asyncio.sleep(INSPECT_SECONDS if self.up else POLL_SECONDS)
        self._kill(child, why)

    async def _ask_on(self, child: Child) -> None:
        """Kills a child that will never answer again."""
        if self.stuck is not None:
            self._kill(child, await self.stuck(child.process.pid))

    def _kill(self, child: Child, why: str) -> None:
        self.tell(f"{self.name} is killed: {why}.")
        child.process.kill()

    async def wait_for_exit(
        self, until: float, hurry: asyncio.Event, early: Callable[[], bool] = lambda: False
    ) -> None:
        """Waits for the child's end until the monotonic time `until`, until `hurry` is set, or until `early()`."""
        while self.child is not None and not self.child.exited.done() and not hurry.is_set():
            if time.monotonic() >= until or early():
                return
            await asyncio.sleep(POLL_SECONDS / 5)

    def terminate(self) -> None:
        """Asks the service to stop."""
        if self.child is not None:
            self.child.terminate()

    def destroy(self) -> None:
        """Kills what is left of the service."""
        if self.child is not None:
            self._clean(self.child)

    def _clean(self, child: Child) -> None:
        child.destroy()
        self.child = None
        self.after_exit()
