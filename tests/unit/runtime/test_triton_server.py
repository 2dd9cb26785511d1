"""Triton's command line and environment."""

import sys
from pathlib import Path

import pytest

from runtime.layout import Layout
from runtime.settings import Settings
from runtime.triton_server import perf_environment, triton_command, triton_environment
from runtime.wheel import TritonWheel

WHEEL = TritonWheel(Path("/w/server"), Path("/w/python"), Path("/w/stub"), Path("/w/libs"))
LAYOUT = Layout(Path("/l"), -1)


def test_every_listener_gets_its_address_and_port() -> None:
    settings = Settings(triton_http_port=1, triton_grpc_port=2, triton_metrics_port=3)
    command = triton_command(settings, WHEEL, LAYOUT, Path("/r"), "the key", "127.0.0.1", "ours-")
    assert command[0] == "/w/server"
    for listener, port in {"http": 1, "grpc": 2, "metrics": 3}.items():
        assert f"--{listener}-address=127.0.0.1" in command
        assert f"--{listener}-port={port}" in command
    assert "--model-repository=/r" in command
    assert "--backend-directory=/l/backends" in command
    assert "--backend-config=python,shm-region-prefix-name=ours-" in command


def test_both_protocols_shut_the_same_parts_with_the_key() -> None:
    command = triton_command(Settings(), WHEEL, LAYOUT, Path("/r"), "the key", "127.0.0.1", "ours-")
    for option in ("--http-restricted-api=", "--grpc-restricted-protocol="):
        shut = next(each for each in command if each.startswith(option))
        parts, _, key = shut.removeprefix(option).partition(":unlock=")
        assert set(parts.split(",")) == {"model-repository", "shared-memory", "trace", "logging"}
        assert key == "the key"


def test_the_steps_find_libpython_and_the_same_virtual_environment() -> None:
    environment = triton_environment(Settings(), WHEEL, LAYOUT, 2, {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/mine"})
    assert environment["LD_LIBRARY_PATH"] == "/l/lib:/w/libs:/mine"
    assert environment["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    assert triton_environment(Settings(), WHEEL, LAYOUT, 2, {})["LD_LIBRARY_PATH"] == "/l/lib:/w/libs"


def test_steps_get_one_thread_where_nothing_else_is_said() -> None:
    environment = triton_environment(Settings(), WHEEL, LAYOUT, 2, {"OMP_NUM_THREADS": "4"})
    assert (environment["OMP_NUM_THREADS"], environment["OPENBLAS_NUM_THREADS"]) == ("4", "1")


def test_memory_comes_from_one_pool_that_keeps_nothing_back_where_nothing_else_is_said() -> None:
    environment = triton_environment(Settings(), WHEEL, LAYOUT, 2, {"MALLOC_ARENA_MAX": "4"})
    assert environment["MALLOC_ARENA_MAX"] == "4"
    assert environment["GLIBC_TUNABLES"] == "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"


def test_threads_are_bound_only_where_there_is_one_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert triton_environment(Settings(), WHEEL, LAYOUT, 4, {})["OMP_PROC_BIND"] == "true"
    assert triton_environment(Settings(), WHEEL, LAYOUT, 4, {"OMP_PROC_BIND": "false"})["OMP_PROC_BIND"] == "false"
    assert "OMP_PROC_BIND" not in triton_environment(Settings(), WHEEL, LAYOUT, 3, {})


def test_the_encoder_is_told_its_kernel_and_where_it_keeps_what_it_measured() -> None:
    environment = triton_environment(Settings(encoder_kernel="onednn"), WHEEL, LAYOUT, 2, {"ENCODER_KERNEL": "fbgemm"})
    assert environment["ENCODER_KERNEL"] == "onednn"
    assert Path(environment["ENCODER_CHOICES"]).is_absolute()


def test_perf_analyzer_finds_what_the_wheel_has_under_other_names() -> None:
    assert perf_environment(WHEEL, LAYOUT, {})["LD_LIBRARY_PATH"] == "/l/perf_lib:/w/libs"
