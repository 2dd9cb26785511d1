"""Token ids of texts, and how alike texts are: what is accepted, and what comes back."""

from typing import Any

import httpx
import numpy as np
import pytest

from proxy.errors import EngineUnavailable
from tests.contract.requests import SIMILARITY, TOKENIZE, assert_invalid
from tests.fakes.fake_embedder import MODEL, FakeEmbedder, encode


def test_tokenize(client: httpx.Client) -> None:
    long = "a " * 300
    answer = client.post(TOKENIZE, json={"texts": ["a b", "", long]})
    assert answer.status_code == 200
    assert answer.json() == {
        "ids": [[100, 101], [], list(range(100, 100 + MODEL.max_seq_length - 2))],
        "tokens": [4, 2, 302],
        "truncated": [False, False, True],
        "version": MODEL.version,
        "count": 3,
    }


def test_tokenize_one_text_and_with_special_tokens(client: httpx.Client) -> None:
    answer = client.post(TOKENIZE, json={"text": "a b", "special_tokens": True, "truncate": "left"}).json()
    assert (answer["ids"], answer["tokens"], answer["count"]) == ([[0, 100, 101, 2]], [4], 1)
    assert client.post(TOKENIZE, json={"text": ""}).json()["ids"] == [[]]


def test_similarity(client: httpx.Client, embedder: FakeEmbedder) -> None:
    texts = [f"text {place}" for place in range(99)] + ["갈비탕"]
    answer = client.post(SIMILARITY, json={"query": "갈비탕", "texts": texts})
    assert answer.status_code == 200
    body = answer.json()
    assert {name: type(value) for name, value in body.items()} == {"similarities": list, "version": str, "count": int}
    assert (body["version"], body["count"]) == (MODEL.version, 100)
    # The oracle, from vectors that are not of unit length.
    query, others = encode(["갈비탕"], False).astype(float)[0], encode(texts, False).astype(float)
    expected = others @ query / np.linalg.norm(others, axis=1) / np.linalg.norm(query)
    np.testing.assert_allclose(body["similarities"], expected, atol=1e-6)
    assert 1 - 1e-6 <= body["similarities"][-1] <= 1
    assert embedder.calls[-1] == ["갈비탕", *texts], "all in one call"


@pytest.mark.parametrize(
    ("path", "body", "kind", "loc"),
    [
        (TOKENIZE, {}, "one_of_both", ["body"]),
        (TOKENIZE, {"text": "a", "texts": ["a"]}, "one_of_both", ["body"]),
        (TOKENIZE, {"texts": []}, "too_short", ["body", "texts"]),
        (TOKENIZE, {"texts": ["a"] * 101}, "too_long", ["body", "texts"]),
        (TOKENIZE, {"texts": ["a", 5]}, "string_type", ["body", "texts", 1]),
        (TOKENIZE, {"text": "a", "truncate": "error"}, "literal_error", ["body", "truncate"]),
        (SIMILARITY, {"texts": ["a"]}, "missing", ["body", "query"]),
        (SIMILARITY, {"query": "a"}, "missing", ["body", "texts"]),
        (SIMILARITY, {"query": "", "texts": ["a"]}, "string_too_short", ["body", "query"]),
        (SIMILARITY, {"query": "a", "texts": []}, "too_short", ["body", "texts"]),
        (SIMILARITY, {"query": "a", "texts": ["a"] * 101}, "too_long", ["body", "texts"]),
    ],
)
def test_bodies_that_are_not_valid(path: str, body: Any, kind: str, loc: list[Any], client: httpx.Client) -> None:
    assert_invalid(client.post(path, json=body), kind, loc)


@pytest.mark.parametrize(("path", "body"), [(TOKENIZE, {"text": "a"}), (SIMILARITY, {"query": "a", "texts": ["b"]})])
def test_an_engine_that_is_away(path: str, body: Any, client: httpx.Client, embedder: FakeEmbedder) -> None:
    embedder.failure = EngineUnavailable("It is away.")
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.json()) == (503, {"detail": "It is away."})
