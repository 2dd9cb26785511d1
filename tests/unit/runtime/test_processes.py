"""Children leave nothing behind, whoever dies first."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from runtime.processes import Child, Children
from runtime.settings import PROJECT_ROOT

# A child with a child of its own, that says both numbers and then ignores SIGTERM.
FAMILY = ["/bin/sh", "-c", "trap '' TERM; sleep 60 & echo $$ $!; wait"]


def gone(pid: int) -> bool:
    """Whether the process has ended: reaped, or a zombie of somebody else's."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


async def start_family(children: Children, lines: list[str]) -> tuple[Child, list[int]]:
    child = children.start(FAMILY, environment=os.environ, folder=Path("/"), show=lines.append)
    while not lines:
        await asyncio.sleep(0.01)
    return child, [int(word) for word in lines[0].split()]


def test_destroy_ends_the_whole_group() -> None:
    async def run() -> tuple[list[int], int]:
        child, pids = await start_family(Children(), [])
        child.terminate()  # which this one does not hear
        child.destroy()
        return pids, await child.exited

    pids, code = asyncio.run(run())
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
    assert code == -signal.SIGKILL


def test_what_a_dead_child_left_is_ended_too() -> None:
    async def run() -> list[int]:
        child, pids = await start_family(Children(), [])
        os.kill(pids[0], signal.SIGKILL)
        assert await child.exited == -signal.SIGKILL
        assert not gone(pids[1])
        child.destroy()
        return pids

    assert all(gone(pid) for pid in asyncio.run(run()))


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


def test_a_killed_launcher_takes_its_children_along() -> None:
    launcher = (
        "import asyncio, os, sys; from pathlib import Path; from runtime.processes import Children\n"
        "async def run():\n"
        "    child = Children().start(['sleep', '60'], environment=os.environ, folder=Path('/'))\n"
        "    print(child.process.pid, flush=True)\n"
        "    await child.exited\n"
        "asyncio.run(run())"
    )
    with subprocess.Popen([sys.executable, "-c", launcher], cwd=PROJECT_ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert not gone(child)
        process.kill()
        wait_until(lambda: gone(child))
