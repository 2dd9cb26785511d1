"""Memory and processor time, read of this very process and of one that it starts."""

import os
import subprocess
import sys

import pytest

from bench.processes import processor_seconds, proportional_memory, role, tree
from tests.waiting import wait_until


def test_memory_of_this_process_is_what_it_allocates() -> None:
    before = proportional_memory(os.getpid())
    block = bytearray(os.urandom(1)) * (64 << 20)
    assert before > 0
    assert 60e6 < proportional_memory(os.getpid()) - before < 80e6
    del block


def test_a_child_belongs_to_the_tree_and_its_time_is_counted() -> None:
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert child.pid in tree(os.getpid())
        assert tree(child.pid) == [child.pid]
        wait_until(lambda: sum(processor_seconds(child.pid).values()) >= 0.05, 20)
    finally:
        child.kill()
        child.wait()


def test_a_process_that_is_gone_has_neither() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert proportional_memory(child.pid) == 0
    assert processor_seconds(child.pid) == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/x/python", "-m", "proxy"], "proxy"),
        (["/x/bin/tritonserver", "--model-repository=/r"], "tritonserver"),
        (["/x/triton_python_backend_stub", "/r/encoder/1/model.pt", "prefix"], "stub: encoder"),
        ([], "other"),
    ],
)
def test_roles(arguments: list[str], expected: str) -> None:
    assert role(arguments) == expected
