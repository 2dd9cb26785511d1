"""Triton without the proxy, as its container runs it: ready, stopped at once, and gone when Triton is."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bench.ports import free_ports
from runtime.settings import PROJECT_ROOT
from runtime.steps import running_steps
from tests.integration.launcher_run import write_toy_repository
from tests.processes import descendants
from tests.waiting import wait_until

NAMES = ("TRITON_HTTP_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT")


class Run:
    """One `python -m runtime.triton_alone` on free ports."""

    def __init__(self, repository: Path, log: Path, **settings: str) -> None:
        ports = dict(zip(NAMES, map(str, free_ports(len(NAMES))), strict=True))
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runtime.triton_alone"],
                env={**os.environ, **ports, "MODEL_REPOSITORY": str(repository), **settings},
                cwd=PROJECT_ROOT,
                stderr=output,
            )
        self.url = f"http://127.0.0.1:{ports['TRITON_HTTP_PORT']}"

    def ready(self) -> None:
        wait_until(lambda: "Triton serves" in self.log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def triton(self) -> int:
        return next(pid for pid, command in descendants(self.process.pid).items() if "/tritonserver " in command)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(repository: Path, **settings: str) -> Run:
        runs.append(Run(repository, tmp_path / f"log-{len(runs)}", **settings))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.terminate()
        run.process.wait(30)


def test_triton_alone_serves_and_stops(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(write_toy_repository(tmp_path / "toy"))
    run.ready()
    assert httpx.get(f"{run.url}/v2/models/sentence_embedding/ready").status_code == 200
    family = descendants(run.process.pid)
    assert not any("-m proxy" in command for command in family.values())
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(30) == 0
    assert run.log.read_text() == f"Triton serves toy on {run.url.removeprefix('http://')}.\n"
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def test_it_ends_with_its_triton(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(write_toy_repository(tmp_path / "toy"))
    run.ready()
    os.kill(run.triton(), signal.SIGKILL)
    assert run.process.wait(30) == 1
    assert run.log.read_text().endswith("error: Triton was ended by SIGKILL.\n")


def test_it_ends_when_its_step_will_never_answer_again(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(write_toy_repository(tmp_path / "toy"))
    run.ready()
    (step,) = running_steps(run.triton())
    os.kill(step, signal.SIGSTOP)
    assert run.process.wait(60) == 1
    assert run.log.read_text().endswith("error: Triton is killed: for 4 s it served nothing and did nothing.\n")


def test_a_model_that_is_not_as_it_was_exported_is_told(start: Callable[..., Run], tmp_path: Path) -> None:
    config = write_toy_repository(tmp_path / "toy") / "sentence_embedding" / "config.pbtxt"
    os.truncate(config, 10)
    run = start(tmp_path / "toy")
    assert run.process.wait(30) == 1
    assert run.log.read_text() == (
        f"error: {config} is not as it was exported (its SHA-256 differs): run `make export`.\n"
    )


def test_without_an_export_it_says_so(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(tmp_path / "nothing")
    assert run.process.wait(30) == 1
    assert "MODEL_REPOSITORY names" in run.log.read_text()


def test_a_bad_setting_is_named(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(tmp_path / "nothing", TRITON_HTTP_PORT="x")
    assert run.process.wait(30) == 2
    assert "TRITON_HTTP_PORT" in run.log.read_text()
