"""Texts whose vectors are known: what the service itself answers at rest, each told from every other."""

import json
import random
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.texts import BEFORE, Queries, recipe_lines
from tests.parity_texts import KOREAN, OTHER_SCRIPTS

SAME_COSINE = 0.9999  # two vectors of one text; float32 sums in another order leave far more
SAME_LENGTH = 1e-3  # of vectors, relative: what a mixed-up `normalize` would change

_CALL_TEXTS = 50


@dataclass(frozen=True)
class Corpus:
    """N texts and their vectors, `[N, D]`, by the request's `normalize`."""

    texts: tuple[str, ...]
    vectors: dict[bool, NDArray[np.float32]]
    dimension: int
    version: str

    def is_right(self, places: Sequence[int], normalize: bool, found: NDArray[np.float32]) -> bool:
        """Whether `found`, `[len(places), D]`, are the vectors of these texts, in this order."""
        expected = self.vectors[normalize][list(places)]
        return found.shape == expected.shape and bool(np.all(same(expected, found)))


def same(expected: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Row by row of `[N, D]`, whether both point the same way and are equally long: `[N]`.

    >>> same(np.float32([[1, 0], [1, 0], [1, 0]]), np.float32([[1, 0], [0, 1], [2, 0]])).tolist()
    [True, False, False]
    """
    left, right = expected.astype(np.float64), found.astype(np.float64)
    lengths, others = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    cosines = (left * right).sum(axis=1) / np.maximum(lengths * others, 1e-12)
    result: NDArray[np.bool_] = (cosines >= SAME_COSINE) & (abs(lengths - others) <= SAME_LENGTH * lengths)
    return result


def candidates(count: int, seed: int = 11) -> list[str]:
    """Distinct texts of 1 to 1000 characters: queries, recipes, other scripts, and recipes put together."""
    chance = random.Random(seed)
    lines = recipe_lines()
    texts = [*KOREAN, *OTHER_SCRIPTS, *lines[: count // 4]]
    texts += [" ".join(chance.sample(lines, 2))[:1000] for _ in range(count // 10)]
    texts += [f"{word} {number}" for number, word in enumerate(chance.choices(BEFORE, k=count // 10))]
    queries = Queries().take(count)
    return list(dict.fromkeys(text for text in texts + queries if len(text) <= 1000))[:count]


def learn(url: str, count: int) -> Corpus:
    """Asks the service at rest, for both values of `normalize`, and leaves out texts that two vectors cannot tell."""
    texts = candidates(count)
    answers = {normalize: _ask(url, texts, normalize) for normalize in (True, False)}
    vectors = {normalize: found for normalize, (found, _) in answers.items()}
    kept = distinct(vectors[True])
    return Corpus(
        texts=tuple(texts[place] for place in kept),
        vectors={normalize: found[kept] for normalize, found in vectors.items()},
        dimension=vectors[True].shape[1],
        version=answers[True][1],
    )


def distinct(vectors: NDArray[np.float32]) -> list[int]:
    """Rows of unit vectors `[N, D]` without those that an earlier one could be taken for.

    >>> distinct(np.float32([[1, 0], [0, 1], [1, 0]]))
    [0, 1]
    """
    alike = vectors.astype(np.float64) @ vectors.T >= SAME_COSINE - 1e-3
    kept: list[int] = []
    for row in range(len(vectors)):
        if not alike[row, kept].any():
            kept.append(row)
    return kept


def _ask(url: str, texts: Sequence[str], normalize: bool) -> tuple[NDArray[np.float32], str]:
    parts: list[Any] = []
    version = ""
    for start in range(0, len(texts), _CALL_TEXTS):
        body = json.dumps({"texts": texts[start : start + _CALL_TEXTS], "normalize": normalize}).encode()
        request = urllib.request.Request(f"{url}/api/v1/embed-batch", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        parts += found["embeddings"]
        version = found["version"]
    return np.array(parts, dtype=np.float32), version
