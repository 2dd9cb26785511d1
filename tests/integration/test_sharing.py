"""Requests share executions of the encoder: counted in Triton's own statistics, no clock involved."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http

from tests.integration.conftest import Served, running_service
from tests.integration.test_triton_clients import infer
from tests.waiting import wait_until

CLIENTS = 16
TEXTS_EACH = 12


def encoder_counts(served: Served) -> tuple[int, int]:
    """(texts, executions) of the encoder so far."""
    statistics = httpx.get(f"http://{served.service.triton_http}/v2/models/encoder/stats").json()["model_stats"][0]
    return statistics["inference_count"], statistics["execution_count"]


def checks_since(started: float) -> int:
    """The texts of checks, which count too, at most: the proxy makes one a second, and so does the launcher."""
    return 2 * int(time.monotonic() - started + 2)


def through_the_proxy(served: Served, texts: list[str]) -> list[Any]:
    with httpx.Client(base_url=served.service.proxy, timeout=60) as client:
        return [client.post("/api/v1/embed", json={"text": text}).json()["embedding"] for text in texts]


def straight_to_triton(served: Served, texts: list[str]) -> list[Any]:
    with closing(tritonclient.http.InferenceServerClient(served.service.triton_http)) as client:
        return [
            infer(client, tritonclient.http, [text.encode()], ["normalized_embedding"])["normalized_embedding"][0]
            for text in texts
        ]


@pytest.mark.parametrize("ask", [through_the_proxy, straight_to_triton])
def test_16_clients_with_single_texts_share_executions(
    stand_in: Served, ask: Callable[[Served, list[str]], list[Any]]
) -> None:
    texts = [
        [f"{ask.__name__} 김치찌개 {client} 번 손님의 {number}" for number in range(TEXTS_EACH)]
        for client in range(CLIENTS)
    ]
    before, started = encoder_counts(stand_in), time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda mine: ask(stand_in, mine), texts))
    after = encoder_counts(stand_in)
    embedded, executions = after[0] - before[0], after[1] - before[1]
    assert 0 <= embedded - CLIENTS * TEXTS_EACH <= checks_since(started)
    assert executions <= embedded / 2, f"{embedded} texts took {executions} executions"
    expected = stand_in.original.encode(list(chain(*texts)), normalize_embeddings=True)
    np.testing.assert_allclose(np.array(list(chain(*answers))), expected, atol=1e-5)


def test_repeated_texts_cost_no_execution(small_stand_in: Path, small_build: Path) -> None:
    texts = [f"된장찌개 {number} 그릇" for number in range(100)]
    with (
        running_service(small_build, MODEL=str(small_stand_in)) as service,
        httpx.Client(base_url=service.proxy, timeout=60) as client,
    ):
        served = Served(service, None, str(small_stand_in))
        # Nothing is remembered before the proxy's watch on Triton, which started later than it, has connected.
        answers: list[Any] = []

        def remembered() -> bool:
            answers.append(client.post("/api/v1/embed-batch", json={"texts": texts}).json()["embeddings"])
            return bool(client.get("/api/v1/cache").json()["texts"] == len(texts))

        wait_until(remembered, 30)
        before, counts_before = encoder_counts(served), client.get("/api/v1/cache").json()
        started = time.monotonic()
        again = client.post("/api/v1/embed-batch", json={"texts": texts}).json()["embeddings"]
        counts = client.get("/api/v1/cache").json()
        embedded = encoder_counts(served)[0] - before[0]
        assert again == answers[-1]
        assert embedded <= checks_since(started) < len(texts)
        assert (counts["hits"], counts["misses"]) == (counts_before["hits"] + len(texts), counts_before["misses"])
