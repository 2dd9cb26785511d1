"""The service's vectors are sentence-transformers' own, on real weights and on the stand-in."""

import random
from typing import Any

import httpx
import numpy as np
import pytest

from tests.integration.conftest import Served
from tests.parity_texts import PARITY_TEXTS, texts_at_the_limit

# float32 on both sides: what differs is the order of the sums.
COMPONENT_TOLERANCE = 1e-5
MINIMUM_COSINE = 0.999999


def parity_texts(served: Served) -> list[str]:
    return PARITY_TEXTS + texts_at_the_limit(served.original.tokenizer, served.original.max_seq_length)


def assert_equal(found: Any, expected: Any, texts: list[str]) -> None:
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert found.shape == expected.shape
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    differences = np.abs(found - expected).max(1)
    for text, cosine, difference in zip(texts, cosines, differences, strict=True):
        assert cosine >= MINIMUM_COSINE, f"{text[:40]!r}: cosine {cosine}"
        assert difference <= COMPONENT_TOLERANCE, f"{text[:40]!r}: a component is off by {difference}"


def test_there_are_enough_texts(served: Served) -> None:
    texts = parity_texts(served)
    assert len(texts) == len(set(texts)) >= 60
    assert 1000 in map(len, texts), "the longest that a single text may be"
    counts = [len(served.original.tokenizer(text, truncation=False)["input_ids"]) for text in texts]
    limit = served.original.max_seq_length
    assert {limit - 1, limit, limit + 1} <= set(counts)


@pytest.mark.parametrize("normalize", [True, False])
def test_one_text_at_a_time(served: Served, normalize: bool) -> None:
    # The JSON contract takes 1000 characters in a single text.
    texts = [text for text in parity_texts(served) if len(text) <= 1000]
    with httpx.Client(base_url=served.service.proxy, timeout=30) as client:
        found = []
        for text in texts:
            answer = client.post("/api/v1/embed", json={"text": text, "normalize": normalize})
            assert answer.status_code == 200, answer.text
            found.append(answer.json()["embedding"])
    expected = served.original.encode(texts, batch_size=1, normalize_embeddings=normalize)
    assert_equal(found, expected, texts)


@pytest.mark.parametrize("normalize", [True, False])
def test_inside_a_batch_of_100_of_mixed_length(served: Served, normalize: bool) -> None:
    texts = parity_texts(served)
    texts = [*texts, "", *(f"{text[:50]} {place}" for place, text in enumerate(texts))][:100]
    assert len(texts) == 100
    random.Random(3).shuffle(texts)
    answer = httpx.post(
        f"{served.service.proxy}/api/v1/embed-batch", json={"texts": texts, "normalize": normalize}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["count"], body["dim"]) == (100, 384)
    expected = served.original.encode(texts, batch_size=1, normalize_embeddings=normalize)
    assert_equal(body["embeddings"], expected, texts)


def test_a_text_far_longer_than_the_model_reads(served: Served) -> None:
    text = "두부 김치찌개를 끓인다. " * 2000
    answer = httpx.post(f"{served.service.proxy}/api/v1/embed-batch", json={"texts": [text]}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert_equal(answer.json()["embeddings"], served.original.encode([text], normalize_embeddings=True), [text])
