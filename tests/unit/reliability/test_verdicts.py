"""What counts as a right answer, a clean failure and none of both."""

import json

import numpy as np
import pytest

from reliability.corpus import Corpus
from reliability.verdicts import Verdict, judge

VECTORS = np.eye(3, 4, dtype=np.float32)
CORPUS = Corpus(("a", "b", "c"), {True: VECTORS, False: 2 * VECTORS}, dimension=4, version="v")


def answer(vectors: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", **changed: object) -> bytes:
    document = {"embeddings": vectors.tolist(), "dim": 4, "version": "v", "count": len(vectors)}
    return json.dumps({**document, **changed}).encode()


def test_the_vectors_of_the_texts_in_their_order() -> None:
    assert judge(CORPUS, [2, 0], True, False, 200, {}, answer(VECTORS[[2, 0]])) is Verdict.RIGHT
    single = json.dumps({"embedding": VECTORS[1].tolist(), "dim": 4, "version": "v"}).encode()
    assert judge(CORPUS, [1], True, True, 200, {}, single) is Verdict.RIGHT


@pytest.mark.parametrize(
    "body",
    [
        answer(VECTORS[[0, 2]]),
        answer(2 * VECTORS[[2, 0]]),
        answer(VECTORS[[2]]),
        answer(VECTORS[[2, 0]], version="w"),
        answer(VECTORS[[2, 0]], count=3),
        answer(VECTORS[[2, 0]], embeddings="none"),
        answer(VECTORS[[2, 0]])[:-9],
        b"[]",
    ],
    ids=["order", "normalize", "too few", "version", "count", "no vectors", "half", "no object"],
)
def test_anything_else_with_200_is_wrong(body: bytes) -> None:
    assert judge(CORPUS, [2, 0], True, False, 200, {}, body) is Verdict.WRONG


@pytest.mark.parametrize(
    ("status", "headers", "body", "verdict"),
    [
        (503, {"Retry-After": "1"}, b'{"detail": "Away."}', Verdict.CLEAN),
        (504, {}, b'{"detail": "Too late."}', Verdict.CLEAN),
        (503, {}, b'{"detail": "Away."}', Verdict.UNCLEAN),
        (500, {}, b'{"detail": "Failed."}', Verdict.UNCLEAN),
        (503, {"Retry-After": "1"}, b"Away", Verdict.UNCLEAN),
        (422, {}, b'{"detail": []}', Verdict.UNCLEAN),
    ],
)
def test_failures(status: int, headers: dict[str, str], body: bytes, verdict: Verdict) -> None:
    assert judge(CORPUS, [0], True, True, status, headers, body) is verdict
