"""Nearest neighbours by cosine, and how far two models agree on them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Agreement(NamedTuple):
    """Shares of the queries' neighbours that are the same, from 0 to 1."""

    mean: float  # of a query's neighbours
    least: float  # of the query on which the two agree least
    first: float  # of the queries whose nearest neighbour is the same


def nearest(vectors: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Each row's `count` nearest other rows, the nearest first: `[N, D]` of unit length to `[N, count]`.

    Of equally near rows the first comes first.

    >>> nearest(np.float32([[1, 0], [0, 1], [0.6, 0.8]]), 1).tolist()
    [[2], [2], [1]]
    """
    exact = vectors.astype(np.float64)
    cosines = exact @ exact.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :count]


def own_among(queries: NDArray[np.float32], entries: NDArray[np.float32], count: int) -> float:
    """The share of the queries whose own entry, that of the same row, is among the `count` nearest: `[N, D]` both.

    >>> own_among(np.float32([[1, 0], [0, 1]]), np.float32([[0.6, 0.8], [0, 1]]), 1)
    1.0
    >>> own_among(np.float32([[1, 0], [0, 1]]), np.float32([[0.6, 0.8], [0.8, 0.6]]), 1)
    0.0
    """
    cosines = queries.astype(np.float64) @ entries.astype(np.float64).T
    nearer = (cosines > np.diag(cosines)[:, None]).sum(1)
    return float(np.mean(nearer < count))


def agreement(expected: NDArray[np.float32], found: NDArray[np.float32], count: int) -> Agreement:
    """Each row as a query against all others: `expected` and `found` are `[N, D]` of the same N texts, unit length.

    Raises `ValueError` where there are not `count` others.
    """
    if len(expected) != len(found) or not 0 < count < len(expected):
        raise ValueError(f"{count} neighbours of {len(expected)} and {len(found)} vectors")
    ours, theirs = nearest(found, count), nearest(expected, count)
    shared = [len(np.intersect1d(a, b)) / count for a, b in zip(ours, theirs, strict=True)]
    return Agreement(float(np.mean(shared)), min(shared), float(np.mean(ours[:, 0] == theirs[:, 0])))
