"""Long texts: cut on the side that is asked for, refused, or told; and nothing of it where nothing is asked."""

from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.requests import BATCH, EMBED, SIMILARITY, TOKENIZE, assert_invalid
from tests.fakes.fake_embedder import MODEL, encode

LIMIT = MODEL.max_seq_length
FITS, LONG, LONGER = "a " * (LIMIT - 2), "a " * (LIMIT - 1), "a " * 300


@pytest.mark.parametrize("side", ["right", "left"])
def test_either_side(side: Any, client: httpx.Client) -> None:
    one = client.post(EMBED, json={"text": LONG, "truncate": side}).json()
    assert list(one) == ["embedding", "dim", "version"]
    np.testing.assert_array_equal(np.float32(one["embedding"]), encode([LONG], True, side)[0])
    several = client.post(BATCH, json={"texts": [LONG, FITS], "truncate": side}).json()
    assert list(several) == ["embeddings", "dim", "version", "count"]
    np.testing.assert_array_equal(np.float32(several["embeddings"]), encode([LONG, FITS], True, side))


def test_tokens_where_they_are_asked_for(client: httpx.Client) -> None:
    one = client.post(EMBED, json={"text": LONG, "return_tokens": True}).json()
    assert list(one) == ["embedding", "dim", "version", "tokens", "truncated"]
    assert (one["tokens"], one["truncated"]) == (LIMIT + 1, True)
    several = client.post(BATCH, json={"texts": [FITS, LONGER, ""], "return_tokens": True}).json()
    assert list(several) == ["embeddings", "dim", "version", "count", "tokens", "truncated"]
    assert (several["tokens"], several["truncated"]) == ([LIMIT, 302, 2], [False, True, False])


def refusal(place: list[Any], tokens: int) -> dict[str, Any]:
    return {
        "type": "too_many_tokens",
        "loc": ["body", *place],
        "msg": f"Text should have at most {LIMIT} tokens with the special ones, and has {tokens}",
        "ctx": {"max_tokens": LIMIT, "tokens": tokens},
    }


@pytest.mark.parametrize(
    ("path", "body", "refusals"),
    [
        (EMBED, {"text": LONG}, [refusal(["text"], LIMIT + 1)]),
        (BATCH, {"texts": [FITS, LONG, "", LONGER]},
         [refusal(["texts", 1], LIMIT + 1), refusal(["texts", 3], 302)]),
        (SIMILARITY, {"query": LONG, "texts": [FITS, LONGER]},
         [refusal(["query"], LIMIT + 1), refusal(["texts", 1], 302)]),
    ],
)  # fmt: skip
def test_every_text_that_is_too_long_is_named(path: str, body: Any, refusals: Any, client: httpx.Client) -> None:
    answer = client.post(path, json={**body, "truncate": "error"})
    assert (answer.status_code, answer.json()) == (422, {"detail": refusals})
    assert client.post(path, json=body).status_code == 200


def test_error_refuses_no_text_that_fits(client: httpx.Client) -> None:
    answer = client.post(BATCH, json={"texts": [FITS, ""], "truncate": "error"})
    assert list(answer.json()) == ["embeddings", "dim", "version", "count"]


@pytest.mark.parametrize("path", [EMBED, BATCH, SIMILARITY, TOKENIZE])
@pytest.mark.parametrize("value", ["middle", True, None, 1])
def test_any_other_side_is_refused(path: str, value: object, client: httpx.Client) -> None:
    body = {"text": "a", "query": "a", "truncate": value} | ({} if path == TOKENIZE else {"texts": ["a"]})
    assert_invalid(client.post(path, json=body), "literal_error", ["body", "truncate"])
