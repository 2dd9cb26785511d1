"""Which of Triton's steps run, and the one that has ended."""

import doctest
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import runtime.steps
from runtime.steps import Steps, running_steps
from tests.waiting import wait_until


@pytest.fixture
def stubs(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Two processes of ours that look like steps: shells under the stub's name."""
    stub = shutil.copy("/bin/sh", tmp_path / "triton_python_backend_stub")
    started = {}
    for name in ("tokenizer", "pooling"):
        script = tmp_path / name / "1" / "model.py"
        script.parent.mkdir(parents=True)
        script.write_text("read line\n")
        started[name] = subprocess.Popen([stub, script], stdin=subprocess.PIPE)
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(runtime.steps).failed == 0


def test_a_step_that_ended_is_named(tmp_path: Path, stubs: dict[str, subprocess.Popen[bytes]]) -> None:
    wait_until(lambda: len(running_steps(os.getpid())) == 2)
    models = {process.pid: tmp_path / name / "1" / "model.py" for name, process in stubs.items()}
    assert running_steps(os.getpid()) == models
    steps = Steps()
    assert steps.ended(os.getpid()) == ""
    stubs["pooling"].kill()  # and not reaped, as a Triton that is busy does not
    wait_until(lambda: len(running_steps(os.getpid())) == 1)
    assert steps.ended(os.getpid()) == "the process of its step 'pooling' has ended"
    assert Steps().ended(os.getpid()) == "", "another Triton begins anew"


def test_a_step_that_is_served_no_more_is_not_lost(tmp_path: Path, stubs: dict[str, subprocess.Popen[bytes]]) -> None:
    wait_until(lambda: len(running_steps(os.getpid())) == 2)
    steps = Steps()
    assert steps.ended(os.getpid()) == ""
    (tmp_path / "pooling" / "1" / "model.py").unlink()
    stubs["pooling"].kill()
    wait_until(lambda: len(running_steps(os.getpid())) == 1)
    assert steps.ended(os.getpid()) == ""


def test_one_that_another_has_replaced_is_not_lost(stubs: dict[str, subprocess.Popen[bytes]]) -> None:
    wait_until(lambda: len(running_steps(os.getpid())) == 2)
    replaced, command = stubs["pooling"], stubs["pooling"].args
    stubs["later"] = subprocess.Popen(command, stdin=subprocess.PIPE)
    wait_until(lambda: len(running_steps(os.getpid())) == 3)
    steps = Steps()
    assert steps.ended(os.getpid()) == ""
    replaced.kill()
    wait_until(lambda: len(running_steps(os.getpid())) == 2)
    assert steps.ended(os.getpid()) == ""
    stubs["later"].kill()
    wait_until(lambda: len(running_steps(os.getpid())) == 1)
    assert steps.ended(os.getpid()) == "the process of its step 'pooling' has ended"
