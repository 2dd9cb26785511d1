"""Another export takes the place of the one that serves: no request is refused, and no vector has another's version."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from export.digests import seal
from runtime.steps import running_steps
from tests.integration.conftest import Service, export_here, running_service, service_environment
from tests.integration.test_faults import is_triton, pids
from tests.waiting import wait_until

Got = tuple[str, Any, list[str]]  # version, vectors, texts

CLIENTS = 6
TEXTS = [f"갈비탕 {number}" for number in range(40)]


def run(module: str, environment: dict[str, str], **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module],
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def embed(client: httpx.Client, texts: list[str]) -> tuple[str, Any]:
    answer = client.post("/api/v1/embed-batch", json={"texts": texts})
    assert answer.status_code == 200, answer.text
    return answer.json()["version"], np.array(answer.json()["embeddings"], np.float32)


@contextmanager
def asking(service: Service, got: list[Got]) -> Iterator[None]:
    """Clients that ask without a pause, and add to `got` what they got. Fails with the first that fails."""
    over = threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(base_url=service.proxy, timeout=30) as client:
            count = 0
            while not over.is_set():
                count += 1
                size = 1 if count % 3 else len(TEXTS)
                texts = [TEXTS[(number + count + place) % len(TEXTS)] for place in range(size)]
                got.append((*embed(client, texts), texts))

    with ThreadPoolExecutor(CLIENTS) as clients:
        asked = [clients.submit(ask, number) for number in range(CLIENTS)]
        try:
            yield
        finally:
            over.set()
        for each in asked:
            each.result()


@pytest.mark.parametrize("cache_mb", ["0", "8"])
def test_another_model_goes_live_under_load_and_back(
    cache_mb: str, small_stand_in: Path, other_stand_in: Path, own_small_build: Path
) -> None:
    build, first, second = own_small_build, small_stand_in, other_stand_in
    environment = service_environment(build, MODEL=str(first), CACHE_MB=cache_mb)
    with running_service(build, **environment) as service, httpx.Client(base_url=service.proxy, timeout=30) as client:
        version, vectors = embed(client, TEXTS)
        expected = {version: vectors}
        (triton,) = pids(service.process.pid, is_triton)
        got: list[Got] = []
        for model in (second, first):
            export_here(build, model, if_needed=False)
            with asking(service, got):
                asked = len(got)
                wait_until(lambda: len(got) > asked + 2 * CLIENTS)  # noqa: B023
                done = run("runtime.reload", environment)
                assert done.returncode == 0, done.stderr
                answered = len(got)
                # At once where every vector is computed; the cache moves over with the next check, a second later.
                wait_until(lambda: embed(client, TEXTS)[0].startswith(f"{model.name}@"), 0 if cache_mb == "0" else 5)  # noqa: B023
                version, vectors = embed(client, TEXTS)
                expected.setdefault(version, vectors)
                wait_until(lambda: len(got) > answered + 2 * CLIENTS)  # noqa: B023
        assert {version for version, _, _ in got} == set(expected)
        for version, vectors, texts in got:
            places = [TEXTS.index(text) for text in texts]
            assert np.abs(vectors - expected[version][places]).max() < 1e-3, f"not {version}'s vectors"
        one, other = expected.values()
        assert np.abs(one - other).max(axis=1).min() > 1e-2, "else nothing could be told apart"
        assert pids(service.process.pid, is_triton) == [triton]
        wait_until(lambda: len(running_steps(triton)) == 3)


def test_a_model_that_cannot_be_loaded_changes_nothing(
    small_stand_in: Path, other_stand_in: Path, own_small_build: Path
) -> None:
    build = own_small_build
    environment = service_environment(build, MODEL=str(small_stand_in), CACHE_MB="0")
    with running_service(build, **environment) as service, httpx.Client(base_url=service.proxy, timeout=30) as client:
        before, _ = embed(client, TEXTS)
        served = (build / "model_repository").resolve()
        assert run("runtime.reload", environment).stdout.endswith("is served already.\n")
        export_here(build, other_stand_in)
        new = (build / "model_repository").resolve()
        (tokenizer,) = new.glob("tokenizer/*/tokenizer.json")
        whole = tokenizer.read_bytes()

        tokenizer.write_bytes(whole[:1000])
        refused = run("runtime.reload", environment)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "tokenizer.json is not as it was exported" in refused.stderr

        seal(new)  # whole as far as digests tell, and of no use to the step
        got: list[Got] = []
        with asking(service, got):
            refused = run("runtime.reload", environment)
        assert refused.returncode == 1
        assert "Triton could not load 'tokenizer'" in refused.stderr
        assert {version for version, _, _ in got} == {before}

        tokenizer.write_bytes(whole)
        seal(new)
        assert run("runtime.reload", environment).returncode == 0
        assert embed(client, TEXTS)[0] != before
        assert served != new


def test_without_a_service_it_says_so(tmp_path: Path) -> None:
    alone = run("runtime.reload", service_environment(tmp_path))
    assert alone.returncode == 1
    assert alone.stderr.startswith("error: No service of this user runs with this TRITON_HTTP_PORT")
