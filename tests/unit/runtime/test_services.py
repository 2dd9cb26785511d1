"""A service that dies is started again; one that cannot start ends the run."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from runtime.errors import ChildFailed
from runtime.processes import Child, Children
from runtime.services import Patience, Service
from tests.waiting import until

QUICK = Patience(first_delay_seconds=0.01, longest_delay_seconds=0.04, steady_seconds=60.0)


def service(command: list[str], is_up: Callable[[], Awaitable[bool]], told: list[str]) -> Service:
    children = Children()

    def start() -> Child:
        return children.start(command, environment=os.environ, folder=Path("/"), show=told.append)

    return Service("It", start, is_up, told.append, last_error=lambda: "no luck", patience=QUICK)


async def never() -> bool:
    return False


async def at_once() -> bool:
    return True


async def test_five_deaths_before_it_was_ever_up_end_the_run_with_its_error() -> None:
    told: list[str] = []

    with pytest.raises(ChildFailed, match=r"^It ended with exit code 3 5 times and was never up: no luck\.$"):
        await service(["/bin/sh", "-c", "echo started; exit 3"], never, told).keep_running()
    assert told.count("started") == 5
    delays = [line.rpartition(" in ")[2] for line in told if "again" in line]
    assert len(delays) == 4


async def test_delays_double_up_to_the_longest() -> None:
    told: list[str] = []

    it = service(["/bin/true"], never, told)
    it.patience = Patience(first_delay_seconds=0.1, longest_delay_seconds=0.2, deaths_before_up=4)
    with pytest.raises(ChildFailed):
        await it.keep_running()
    assert [line.split()[-2] for line in told] == ["0.1", "0.2", "0.2"]


async def test_one_that_was_up_is_started_again_and_again() -> None:
    told: list[str] = []
    ups: list[int] = []
    cleared: list[int] = []

    it = service(["sleep", "60"], at_once, told)
    it.on_up = lambda: ups.append(1)
    it.after_exit = lambda: cleared.append(1)
    task = asyncio.create_task(it.keep_running())
    for _ in range(7):
        await until(lambda: ups)
        ups.clear()
        assert it.up
        assert it.child is not None
        it.child.process.kill()
    await until(lambda: len(cleared) >= 7)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    it.destroy()
    assert told.count("It is up again.") >= 6
    assert told[0].startswith("It was ended by SIGKILL; starting it again in ")


async def test_haste_ends_the_wait_for_a_child_that_does_not_stop() -> None:
    lines: list[str] = []

    it = service(["/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"], never, lines)
    it.child = it.start()
    await until(lambda: lines)
    it.terminate()
    began = time.monotonic()
    await it.wait_for_exit(began + 0.2, asyncio.Event())
    assert time.monotonic() - began >= 0.2
    hurry = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, hurry.set)
    began = time.monotonic()
    await it.wait_for_exit(began + 30, hurry)
    waited = time.monotonic() - began
    assert not it.child.exited.done()
    it.destroy()
    assert waited < 15


async def test_one_that_is_stuck_is_killed_and_started_again() -> None:
    told: list[str] = []

    async def stuck(_: int) -> str:
        return "it does nothing"

    it = service(["sleep", "60"], never, told)
    it.stuck = stuck
    with pytest.raises(ChildFailed):
        await it.keep_running()
    assert told[:2] == ["It is killed: it does nothing.", "It was ended by SIGKILL; starting it again in 0.0 s."]
