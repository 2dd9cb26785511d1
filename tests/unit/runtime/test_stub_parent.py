"""A step's process ends with its parent."""

import subprocess
import sys
import time

from runtime.settings import PROJECT_ROOT

STEP = (
    "import sys, threading; from runtime.backends.python.stub_parent import end_with_parent\n"
    "end_with_parent(0.1)\n"
    "print('watching', flush=True)\n"
    "threading.Event().wait(60)"
)


def test_a_step_ends_when_its_parent_was_killed() -> None:
    # The parent hands its output on to the step: the pipe ends when both have.
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STEP!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], cwd=PROJECT_ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"watching\n"
        process.kill()
        killed = time.monotonic()
        assert process.stdout.read() == b""
        assert time.monotonic() - killed < 20


def test_a_step_lives_as_long_as_its_parent() -> None:
    step = STEP.replace("wait(60)", "wait(0.5)")
    said = subprocess.run(
        [sys.executable, "-c", step], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    assert (said.stdout, said.stderr) == ("watching\n", "")
