"""Triton away under a proxy that stays: refused at once, and served again without a restart of the proxy."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.ports import free_ports
from runtime.steps import running_steps
from tests.integration.conftest import running_service
from tests.processes import descendants
from tests.waiting import wait_until

BODY = {"text": "갈비탕"}


def wait_for_status(url: str, status: int, seconds: float = 30.0) -> httpx.Response:
    """The first answer of `url` with `status`."""

    def ask() -> httpx.Response | None:
        try:
            answer = httpx.get(url, timeout=10)
        except httpx.TransportError:
            return None
        return answer if answer.status_code == status else None

    return wait_until(ask, seconds)


def pids(root: int, matches: Callable[[str], bool]) -> list[int]:
    return [pid for pid, command in descendants(root).items() if matches(command)]


def is_triton(command: str) -> bool:
    return "bin/tritonserver" in command.split(" ")[0]


@contextmanager
def lone_proxy(triton_url: str, **settings: str) -> Iterator[str]:
    """A proxy of its own on a free port, on whatever is or is not at `triton_url`."""
    port = free_ports(1)[0]
    environment = os.environ | {"PROXY_PORT": str(port), "TRITON_URL": triton_url, "LOG_LEVEL": "error"} | settings
    process = subprocess.Popen([sys.executable, "-m", "proxy"], env=environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        # uvicorn ends with the signal itself once it has shut down in order.
        assert process.wait(timeout=15) in (0, -signal.SIGTERM)


def assert_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert isinstance(answer.json()["detail"], str)


def test_triton_killed_under_the_proxy(small_stand_in: Path, small_build: Path) -> None:
    with (
        running_service(small_build, MODEL=str(small_stand_in), CACHE_MB="0") as service,
        lone_proxy(service.triton_http, CACHE_MB="0") as second,
        httpx.Client(timeout=10) as client,
    ):
        proxies = [service.proxy, second]
        for proxy in proxies:
            wait_for_status(f"{proxy}/health", 200)
        before = [client.post(f"{proxy}/api/v1/embed", json=BODY).json() for proxy in proxies]
        assert before[0] == before[1]
        own_proxy = pids(service.process.pid, lambda command: "-m proxy" in command)
        (triton,) = pids(service.process.pid, is_triton)
        os.kill(triton, signal.SIGSTOP)  # so that the launcher's restart does not come before the questions
        os.kill(triton, signal.SIGKILL)
        for proxy in proxies:
            assert_refused(client.post(f"{proxy}/api/v1/embed", json=BODY))
            assert_refused(client.get(f"{proxy}/health"))
            assert_refused(client.post(f"{proxy}/api/v1/embed-batch", json={"texts": ["a", "b"]}))
        for proxy, answer in zip(proxies, before, strict=True):
            wait_for_status(f"{proxy}/health", 200)
            assert client.post(f"{proxy}/api/v1/embed", json=BODY).json() == answer
        assert pids(service.process.pid, lambda command: "-m proxy" in command) == own_proxy, "the same process"
        assert pids(service.process.pid, is_triton) != [triton]


def test_the_proxy_may_start_before_triton(small_stand_in: Path, small_build: Path) -> None:
    port = str(free_ports(1)[0])
    with lone_proxy(f"127.0.0.1:{port}") as proxy:
        health = wait_for_status(f"{proxy}/health", 503)
        assert_refused(health)
        assert_refused(httpx.post(f"{proxy}/api/v1/embed", json=BODY))
        assert_refused(httpx.get(f"{proxy}/api/v1/model-info"))
        with running_service(small_build, MODEL=str(small_stand_in), TRITON_HTTP_PORT=port):
            assert wait_for_status(f"{proxy}/health", 200).json()["model"] == "small-stand-in"
            assert len(httpx.post(f"{proxy}/api/v1/embed", json=BODY).json()["embedding"]) == 64


def test_another_model_than_the_expected_one_is_never_healthy(small_stand_in: Path, small_build: Path) -> None:
    with (
        running_service(small_build, MODEL=str(small_stand_in)) as service,
        lone_proxy(service.triton_http, EXPECTED_MODEL="org/other-model") as other,
        lone_proxy(service.triton_http, EXPECTED_MODEL="small-stand-in") as same,
    ):
        assert_refused(wait_for_status(f"{other}/health", 503))
        refused = httpx.post(f"{other}/api/v1/embed", json=BODY)
        assert_refused(refused)
        assert "other-model" in refused.json()["detail"]
        wait_for_status(f"{same}/health", 200)


def test_a_changed_precision_exports_again_and_changes_the_version(small_stand_in: Path, own_small_build: Path) -> None:
    versions = []
    for precision in ("float16", "float32"):
        with running_service(own_small_build, MODEL=str(small_stand_in), PRECISION=precision) as service:
            versions.append(httpx.get(f"{service.proxy}/health").json()["version"])
    assert [version.rsplit("-", 1)[1] for version in versions] == ["float16", "float32"]
    assert versions[0].rsplit("-", 1)[0] == versions[1].rsplit("-", 1)[0]


def test_a_step_that_is_killed_comes_back_with_another_triton(small_stand_in: Path, small_build: Path) -> None:
    with (
        running_service(small_build, MODEL=str(small_stand_in), CACHE_MB="0") as service,
        httpx.Client(timeout=40) as client,
    ):
        url = f"{service.proxy}/api/v1/embed"
        before = client.post(url, json=BODY).json()
        for step in ("tokenizer", "encoder", "pooling"):
            (triton,) = pids(service.process.pid, is_triton)
            wait_until(lambda: len(running_steps(triton)) == 3)  # noqa: B023
            stub = {model.parent.parent.name: pid for pid, model in running_steps(triton).items()}[step]
            wait_for_status(f"{service.proxy}/health", 200)
            time.sleep(1)  # until the launcher has seen the steps of this Triton
            os.kill(stub, signal.SIGKILL)
            assert wait_until(lambda: client.post(url, json=BODY).status_code == 200), step
            assert client.post(url, json=BODY).json() == before
            assert pids(service.process.pid, is_triton) != [triton]
