"""Children leave nothing behind, whoever dies first."""

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


async def test_destroy_ends_the_whole_group() -> None:
    child, pids = await start_family(Children(), [])
    child.terminate()  # which this one does not hear
    child.destroy()
    assert await child.exited == -signal.SIGKILL
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


async def test_what_a_dead_child_left_is_ended_too() -> None:
    child, pids = await start_family(Children(), [])
    os.kill(pids[0], signal.SIGKILL)
    assert await child.exited == -signal.SIGKILL
    assert alive(pids[1])
    child.destroy()
    assert not any(alive(pid) for pid in pids)


async def test_output_comes_line_by_line_to_the_last_word() -> None:
    lines: list[str] = []
    code = "import sys; print('갈비탕'); print('b', file=sys.stderr); print('no end', end='')"
    child = Children().start(
        [sys.executable, "-u", "-c", code], environment=os.environ, folder=Path("/"), show=lines.append
    )
    assert await child.exited == 0
    child.destroy()
    assert lines == ["갈비탕", "b", "no end"]


async def test_a_child_has_a_session_of_its_own() -> None:
    child, pids = await start_family(Children(), [])
    session = os.getsid(pids[1])
    child.destroy()
    assert session == child.process.pid != os.getsid(0)


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
