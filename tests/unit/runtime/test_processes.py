"""Children leave nothing behind, whoever dies first."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from runtime.processes import Child, Children
from runtime.settings import PROJECT_ROOT
from tests.processes import alive
from tests.waiting import until, wait_until

# A child with a child of its own, that says both numbers and then ignores SIGTERM.
FAMILY = ["/bin/sh", "-c", "trap '' TERM; sleep 60 & echo $$ $!; wait"]


async def start_family(children: Children, lines: list[str]) -> tuple[Child, list[int]]:
    child = children.start(FAMILY, environment=os.environ, folder=Path("/"), show=lines.append)
    await until(lambda: lines)
    return child, [int(word) for word in lines[0].split()]


def test_destroy_ends_the_whole_group() -> None:
    async def run() -> tuple[list[int], int]:
        child, pids = await start_family(Children(), [])
        child.terminate()  # which this one does not hear
        child.destroy()
        return pids, await child.exited

    pids, code = asyncio.run(run())
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
    assert code == -signal.SIGKILL


def test_what_a_dead_child_left_is_ended_too() -> None:
    async def run() -> list[int]:
        child, pids = await start_family(Children(), [])
        os.kill(pids[0], signal.SIGKILL)
        assert await child.exited == -signal.SIGKILL
        assert alive(pids[1])
        child.destroy()
        return pids

    assert not any(alive(pid) for pid in asyncio.run(run()))


def test_output_comes_line_by_line_to_the_last_word() -> None:
    async def run() -> list[str]:
        lines: list[str] = []
        code = "import sys; print('갈비탕'); print('b', file=sys.stderr); print('no end', end='')"
        child = Children().start(
            [sys.executable, "-u", "-c", code], environment=os.environ, folder=Path("/"), show=lines.append
        )
        assert await child.exited == 0
        child.destroy()
        return lines

    assert asyncio.run(run()) == ["갈비탕", "b", "no end"]


def test_a_child_has_a_session_of_its_own() -> None:
    async def run() -> tuple[int, int]:
        child, pids = await start_family(Children(), [])
        session = os.getsid(pids[1])
        child.destroy()
        return session, child.process.pid

    session, pid = asyncio.run(run())
    assert session == pid != os.getsid(0)


def test_a_killed_launcher_takes_its_children_and_theirs_along() -> None:
    launcher = (
        "import asyncio, os, sys; from pathlib import Path; from runtime.processes import Children\n"
        "async def run():\n"
        f"    child = Children().start({FAMILY!r}, environment=os.environ, folder=Path('/'))\n"
        "    await child.exited\n"
        "asyncio.run(run())"
    )
    with subprocess.Popen([sys.executable, "-c", launcher], cwd=PROJECT_ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        family = [int(word) for word in process.stdout.readline().split()]
        assert all(alive(pid) for pid in family)
        process.kill()
        wait_until(lambda: not any(alive(pid) for pid in family))
