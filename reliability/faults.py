"""The faults that are injected while clients ask, and what each may cost them."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from bench.processes import stat
from bench.services import ROOT
from reliability import memory_limit
from reliability.clock import Clock, ahead_of_ours
from reliability.relay import Mode, Relay
from reliability.stack import LAUNCHER, PROXY, STEPS, TRITON, Stack

BACK_SECONDS = 5.0
BACK_WITH_LOAD_SECONDS = 10.0  # where Triton itself must load again

_STOPPED_SECONDS = 3.0  # within the deadline: who waits gets a vector late
_DISTURBED_SECONDS = 3.0
_FULL_DISK_BYTES = 1 << 20  # of the largest file that can be written: the encoder's is larger
_EXPORT_SECONDS = 120.0
_GONE_SECONDS = 4.0  # for all that a dead launcher had started
_KILLED_SECONDS = 10.0  # a process under load asks for a page far sooner
_JUMPED_SECONDS = 2.0  # after each jump of the clock: past the next turn of every timer
_CLOCK_TOLERANCE = timedelta(seconds=10)


class FaultFailed(Exception):
    """A fault that could not be injected, or that did not do what it is there for."""


@dataclass(frozen=True)
class Fault:
    """`inject` returns when the cause is over: the signal is sent, the stopped process runs, the way is free."""

    name: str
    inject: Callable[[], Awaitable[None]]
    back_seconds: float = BACK_SECONDS
    proxy_away: bool = False  # connections may be refused, and those under way cut off
    harmless: bool = False  # every answer must be right


def process_faults(stack: Stack, longer_than_deadline: float) -> list[Fault]:
    """Every process killed, and every process stopped for a while."""
    stubs = [f"stub: {step}" for step in STEPS]
    kills = [Fault(f"SIGKILL {name}", partial(kill, stack, name), BACK_WITH_LOAD_SECONDS) for name in stubs]
    kills += [
        Fault(f"SIGKILL {TRITON}", partial(kill, stack, TRITON), BACK_WITH_LOAD_SECONDS),
        Fault(f"SIGKILL {PROXY}", partial(kill, stack, PROXY), proxy_away=True),
        Fault(
            "SIGKILL launcher, started again", partial(kill_launcher, stack), BACK_WITH_LOAD_SECONDS, proxy_away=True
        ),
    ]
    stopped = [(name, _STOPPED_SECONDS) for name in (*stubs, TRITON, PROXY, LAUNCHER)]
    stopped.append(("stub: encoder", longer_than_deadline))
    # A step that stands still for some seconds does not come back whole: Triton gives it up, or the launcher does.
    stops = [
        Fault(
            f"SIGSTOP {_shown(name)}, {seconds:g} s",
            partial(stop, stack, name, seconds),
            BACK_WITH_LOAD_SECONDS if name in stubs else BACK_SECONDS,
        )
        for name, seconds in stopped
    ]
    return kills + stops


def out_of_memory_faults(stack: Stack) -> list[Fault]:
    """Every process killed by the kernel, for want of memory; where `memory_limit.why_not` has no reason."""
    names = [*(f"stub: {step}" for step in STEPS), TRITON, PROXY, LAUNCHER]
    return [
        Fault(
            f"out of memory: {_shown(name)}",
            partial(exhaust, stack, name),
            BACK_SECONDS if name == PROXY else BACK_WITH_LOAD_SECONDS,
            proxy_away=name in (PROXY, LAUNCHER),
        )
        for name in names
    ]


def clock_faults(stack: Stack, clock: Clock) -> list[Fault]:
    """Jumps of the time of day, under a service that was started with the environment of `clock`."""
    day, hour, right = timedelta(days=1), timedelta(hours=1), timedelta()
    jumps = {
        "a day ahead, and back": (day, right),
        "a day back, and ahead": (-day, right),
        "an hour ahead, two back, one ahead": (hour, -hour, right),
    }
    return [Fault(f"clock {name}", partial(jump, stack, clock, to), harmless=True) for name, to in jumps.items()]


def export_fault(stack: Stack) -> Fault:
    """An export into the folder that serves, on a disk that is full."""
    return Fault("full disk during an export", partial(export_on_full_disk, stack))


def connection_faults(relay: Relay) -> list[Fault]:
    """What a network can do between proxy and Triton."""

    async def reset() -> None:
        for _ in range(20):
            relay.reset()
            await asyncio.sleep(_DISTURBED_SECONDS / 20)

    async def behave(mode: Mode) -> None:
        relay.behave(mode)
        await asyncio.sleep(_DISTURBED_SECONDS)
        relay.behave(Mode.PASS)

    async def refuse() -> None:
        await relay.refuse()
        await asyncio.sleep(_DISTURBED_SECONDS)
        await relay.listen()

    seconds = f"{_DISTURBED_SECONDS:g} s"
    return [
        Fault(f"connections to Triton reset, {seconds}", reset),
        Fault(f"answers of Triton torn, {seconds}", partial(behave, Mode.TORN)),
        Fault(f"connections to Triton slow, {seconds}", partial(behave, Mode.SLOW)),
        Fault(f"connections to Triton silent, {seconds}", partial(behave, Mode.SILENT)),
        Fault(f"connections to Triton refused, {seconds}", refuse),
    ]


async def kill(stack: Stack, name: str) -> None:
    """SIGKILL; the launcher, or Triton for its stubs, starts another one."""
    os.kill(stack.process(name), signal.SIGKILL)


async def kill_launcher(stack: Stack) -> None:
    """SIGKILL, and a new launcher as soon as the old one is dead, as a supervisor would start it.

    Raises `FaultFailed` where a process of the old one is left.
    """
    processes = stack.processes()
    stack.launcher.kill()
    await _start_again(stack, processes)


async def _start_again(stack: Stack, processes: dict[str, int]) -> None:
    await asyncio.to_thread(stack.launcher.wait)
    stack.start()
    until = time.monotonic() + _GONE_SECONDS
    while left := [name for name, process in processes.items() if (stat(process) or "X")[0] not in "ZX"]:
        if time.monotonic() > until:
            raise FaultFailed(f"left running by a launcher that is dead: {', '.join(left)}")
        await asyncio.sleep(0.05)


async def exhaust(stack: Stack, name: str) -> None:
    """Has the kernel kill a process that gets no more memory; a launcher is started again, as by `kill_launcher`.

    Raises `FaultFailed` where it lives on, or leaves a process behind.
    """
    processes = stack.processes()
    try:
        await asyncio.to_thread(memory_limit.kill, stack.process(name), _KILLED_SECONDS)
    except memory_limit.NotKilled as error:
        raise FaultFailed(str(error)) from error
    if name == LAUNCHER:
        await _start_again(stack, processes)


async def jump(stack: Stack, clock: Clock, to: Sequence[timedelta]) -> None:
    """Sets the clock to each of these, ahead of ours. Raises `FaultFailed` where the proxy's does not show it."""
    for ahead in to:
        clock.jump(ahead)
        await asyncio.sleep(_JUMPED_SECONDS)
        try:
            seen = await asyncio.to_thread(ahead_of_ours, stack.url)
        except OSError as error:
            raise FaultFailed(f"/health, with the clock {ahead} ahead: {error}") from error
        if abs(seen - ahead) > _CLOCK_TOLERANCE:
            raise FaultFailed(f"the proxy's clock was {seen} ahead, not {ahead}")


async def stop(stack: Stack, name: str, seconds: float) -> None:
    """SIGSTOP, and SIGCONT after `seconds` where the launcher has not put another process in its place."""
    process = stack.process(name)
    os.kill(process, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


async def export_on_full_disk(stack: Stack) -> None:
    """Exports another precision to the same place where no large file can be written.

    Raises `FaultFailed` where that succeeds, changes what is in force, leaves something or says nothing.
    """
    before = (stack.repository.readlink(), _entries(stack))
    exported = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "export"],
        cwd=ROOT,
        env={**stack.environment, "PRECISION": "int8"},
        preexec_fn=_fill_disk,
        capture_output=True,
        text=True,
        timeout=_EXPORT_SECONDS,
        check=False,
    )
    said = exported.stderr.strip().splitlines() or [""]
    if exported.returncode == 0:
        raise FaultFailed("the export succeeded on a full disk")
    if (stack.repository.readlink(), _entries(stack)) != before:
        raise FaultFailed("a failed export changed the folder that serves")
    if "Traceback" in exported.stderr or "MODEL_REPOSITORY" not in said[-1]:
        raise FaultFailed(f"a failed export did not name the setting: {said[-1]}")


def _shown(name: str) -> str:
    return "launcher" if name == LAUNCHER else name


def _fill_disk() -> None:
    # A limit on the size of a file: the write fails as on a full disk, with no rights needed. Python ignores SIGXFSZ.
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FULL_DISK_BYTES, _FULL_DISK_BYTES))


def _entries(stack: Stack) -> set[str]:
    return {path.name for path in (stack.repository.parent / "repositories").iterdir()}
