"""The probes on a real Triton: red soon after a step is dead, stopped or wrong, and green again by itself."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from google.protobuf import text_format

from export.digests import seal
from export.repository import read_config
from runtime.steps import running_steps
from tests.integration.conftest import Service, running_service
from tests.integration.test_faults import BODY, is_triton, lone_proxy, pids, wait_for_status
from tests.integration.test_triton_alone import Run as TritonAlone
from tests.waiting import wait_until

STEPS = ("tokenizer", "encoder", "pooling")
TRITON = "tritonserver"
RED_SECONDS = 5.0
GREEN_SECONDS = 60.0


@pytest.fixture(scope="module")
def service(small_stand_in: Path, small_build: Path) -> Iterator[Service]:
    with running_service(small_build, MODEL=str(small_stand_in)) as running:
        yield running


def process_of(service: Service, name: str) -> int:
    """Triton's, the proxy's or a step's process id, once the service is whole."""
    wait_for_status(f"{service.proxy}/health/ready", 200, GREEN_SECONDS)
    if name == "proxy":
        return pids(service.process.pid, lambda command: "-m proxy" in command)[0]
    (triton,) = pids(service.process.pid, is_triton)
    if name == TRITON:
        return triton
    steps = wait_until(lambda: running_steps(triton) if len(running_steps(triton)) == len(STEPS) else None)
    return next(pid for pid, step in steps.items() if step.parent.parent.name == name)


def ready(service: Service) -> str:
    """Red or green; nothing where the proxy does not answer."""
    try:
        return {200: "green", 503: "red"}[httpx.get(f"{service.proxy}/health/ready", timeout=2).status_code]
    except httpx.TransportError:
        return ""


def turns(service: Service, colour: str, seconds: float) -> None:
    wait_until(lambda: ready(service) == colour, seconds, pause=0.05)


@pytest.mark.parametrize("name", [*STEPS, TRITON])
def test_one_that_is_stopped_for_good_is_red_and_comes_back(service: Service, name: str) -> None:
    stopped = process_of(service, name)
    os.kill(stopped, signal.SIGSTOP)
    turns(service, "red", RED_SECONDS)
    turns(service, "green", GREEN_SECONDS)
    assert process_of(service, name) != stopped


@pytest.mark.parametrize("name", [*STEPS, TRITON])
def test_one_that_is_killed_is_red_and_comes_back(service: Service, name: str) -> None:
    killed = process_of(service, name)
    service.process.send_signal(signal.SIGSTOP)  # else it may mend that before a check sees it
    try:
        os.kill(killed, signal.SIGKILL)
        turns(service, "red", RED_SECONDS)
        assert httpx.get(f"{service.proxy}/health/live").status_code == 200
    finally:
        service.process.send_signal(signal.SIGCONT)
    turns(service, "green", GREEN_SECONDS)
    assert process_of(service, name) != killed


def test_a_stopped_proxy_is_started_again(service: Service) -> None:
    stopped = process_of(service, "proxy")
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: stopped not in pids(service.process.pid, lambda command: "-m proxy" in command))
    turns(service, "green", GREEN_SECONDS)


@pytest.mark.parametrize(("name", "seconds"), [(TRITON, 3.0), ("proxy", 3.0), ("launcher", 8.0)])
def test_a_short_stop_ends_nobody(service: Service, name: str, seconds: float) -> None:
    before = [process_of(service, each) for each in (TRITON, "proxy", *STEPS)]
    stopped = service.process.pid if name == "launcher" else process_of(service, name)
    os.kill(stopped, signal.SIGSTOP)
    time.sleep(seconds)  # what is tried is a stop of this length
    os.kill(stopped, signal.SIGCONT)
    turns(service, "green", GREEN_SECONDS)
    time.sleep(2.0)  # for what would be done in haste
    assert [process_of(service, each) for each in (TRITON, "proxy", *STEPS)] == before


def test_a_wrong_vector_is_red_and_says_so(small_build: Path, tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    shutil.copytree((small_build / "model_repository").resolve(), repository)
    config_path = repository / "sentence_embedding" / "config.pbtxt"
    config = read_config(config_path)
    config.parameters["canary_text"].string_value = "another text"
    config_path.write_text(text_format.MessageToString(config, as_utf8=True), encoding="utf-8")
    seal(repository)
    triton = TritonAlone(repository, tmp_path / "log")
    try:
        triton.ready()
        with lone_proxy(triton.url) as proxy:
            answer = wait_for_status(f"{proxy}/health/ready", 503)
            assert "another vector than the model's export" in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) >= 1
            assert httpx.get(f"{proxy}/health/live").status_code == 200
            assert httpx.post(f"{proxy}/api/v1/embed", json=BODY).status_code == 200
    finally:
        triton.process.terminate()
        triton.process.wait(30)
