"""Requests share executions of the encoder: counted in Triton's own statistics, no clock involved."""

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
    before = encoder_counts(stand_in)
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda mine: ask(stand_in, mine), texts))
    after = encoder_counts(stand_in)
    embedded, executions = after[0] - before[0], after[1] - before[1]
    assert embedded == CLIENTS * TEXTS_EACH
    assert executions <= embedded / 2, f"{embedded} texts took {executions} executions"
    expected = stand_in.original.encode(list(chain(*texts)), normalize_embeddings=True)
    np.testing.assert_allclose(np.array(list(chain(*answers))), expected, atol=1e-5)


def test_a_repeated_text_costs_no_execution(small_stand_in: Path, small_build: Path) -> None:
    with running_service(small_build, MODEL=str(small_stand_in), PRECISION="float32") as service:
        served = Served(service, None, str(small_stand_in))
        with httpx.Client(base_url=service.proxy) as client:
            # Nothing is remembered before the proxy's watch on Triton, which started later than it, has connected.
            first: list[Any] = []

            def remembered() -> bool:
                first[:] = through_the_proxy(served, ["된장찌개 한 그릇"])
                return bool(client.get("/api/v1/cache").json()["texts"])

            wait_until(remembered, 30)
            before, counts_before = encoder_counts(served), client.get("/api/v1/cache").json()
            body = {"texts": ["된장찌개 한 그릇"] * 3}
            again = client.post("/api/v1/embed-batch", json=body).json()["embeddings"]
            counts = client.get("/api/v1/cache").json()
        assert again == first * 3
        assert encoder_counts(served) == before
        assert (counts["hits"], counts["misses"]) == (counts_before["hits"] + 3, counts_before["misses"])
