"""A program whose time of day jumps, its monotonic clock and its sleep do not."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reliability import clock

pytestmark = pytest.mark.skipif(bool(clock.why_not()), reason=clock.why_not())

# Tells its clocks, after a sleep, for each line that it reads.
PROGRAM = """
import json, sys, time
for line in sys.stdin:
    before = time.monotonic()
    time.sleep(0.01)
    now = time.monotonic()
    print(json.dumps({"day": time.time(), "monotonic": now, "slept": now - before}), flush=True)
"""


@pytest.fixture
def moved(tmp_path: Path) -> clock.Clock:
    return clock.Clock(tmp_path / "clock")


@pytest.fixture
def process(moved: clock.Clock) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, **moved.environment}
    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    yield started
    started.communicate(timeout=10)


def ask(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(days=-1), timedelta(hours=1)])
def test_a_jump_and_back(process: "subprocess.Popen[str]", moved: clock.Clock, ahead: timedelta) -> None:
    for to in (timedelta(), ahead, timedelta()):
        moved.jump(to)
        found = ask(process)
        assert found["day"] - time.time() == pytest.approx(to.total_seconds(), abs=60)
        assert found["monotonic"] == pytest.approx(time.monotonic(), abs=60)
        assert 0 < found["slept"] < 60


def test_which_process_has_it(process: "subprocess.Popen[str]") -> None:
    ask(process)
    assert clock.is_held_by(process.pid)
    assert not clock.is_held_by(os.getpid())
