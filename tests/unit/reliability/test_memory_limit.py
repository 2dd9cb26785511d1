"""A process that gets no more memory is killed by the kernel, and what was made for that is gone again."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from bench.processes import stat
from reliability import memory_limit
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(bool(memory_limit.why_not()), reason=memory_limit.why_not())

# Slowly, so that it has not used up the machine before its turn comes.
GROWS = "pages = []\nwhile True: time.sleep(0.001); pages.append(bytearray(1 << 14))"
WAITS = "signal.pause()"


@pytest.fixture
def run() -> Iterator[Callable[[str], "subprocess.Popen[bytes]"]]:
    started = []

    def start(program: str) -> "subprocess.Popen[bytes]":
        # It says when it runs: before, it would ask for memory whatever it does then.
        process = subprocess.Popen(
            [sys.executable, "-c", f"import signal, time\nprint(flush=True)\n{program}"], stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def groups() -> list[str]:
    return [path.name for path in memory_limit.hierarchy().folder.glob(f"{memory_limit.GROUP}*")]


def test_a_process_that_needs_memory(run: Callable[[str], "subprocess.Popen[bytes]"]) -> None:
    process = run(GROWS)
    memory_limit.kill(process.pid, 10)
    assert process.wait(10) == -signal.SIGKILL
    assert groups() == []


def test_a_process_that_needs_none_lives_on(run: Callable[[str], "subprocess.Popen[bytes]"]) -> None:
    process = run(WAITS)
    wait_until(lambda: (stat(process.pid) or "?")[0] == "S")  # what it does until then takes memory, too
    with pytest.raises(memory_limit.NotKilled, match=str(process.pid)):
        memory_limit.kill(process.pid, 0.1)
    assert process.poll() is None
    assert groups() == []


def test_where_no_group_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_limit, "VERSIONS", ())
    assert memory_limit.why_not() == "no memory cgroup can be made here (No such file or directory)"
