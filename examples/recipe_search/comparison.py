"""What PostgreSQL finds against brute force: every distance computed with numpy, on the same vectors."""

import time
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from examples.recipe_search.embedding_client import EmbeddingClient
from examples.recipe_search.search import LIMIT
from examples.recipe_search.store import RecipeStore

# pgvector sums 384 products in float32; two recipes nearer to each other than this count as equally near.
TOLERANCE = 1e-5


class Comparison(NamedTuple):
    """Of several queries with `limit` recipes each."""

    recall: float  # share of the recipes found that are among the nearest, from 0 to 1
    largest_error: float  # of the distances that PostgreSQL told
    milliseconds: float  # of PostgreSQL's answer, in the middle


def cosine_distances(rows: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 - cosine of each row `[N, D]` with a vector `[D]`, in float64.

    >>> cosine_distances(np.float32([[2, 0], [0, 1], [-1, 0]]), np.float32([1, 0])).tolist()
    [0.0, 1.0, 2.0]
    """
    exact, query = rows.astype(np.float64), vector.astype(np.float64)
    distances: NDArray[np.float64] = 1 - exact @ query / (np.linalg.norm(exact, axis=1) * np.linalg.norm(query))
    return distances


def compare(store: RecipeStore, client: EmbeddingClient, queries: Sequence[str], limit: int = LIMIT) -> Comparison:
    """Asks PostgreSQL and numpy for each query's nearest recipes.

    Recipes are compared by distance and not by id, since which of two equally near ones comes first is nobody's to
    say. Raises the errors of `search`.
    """
    ids, rows = store.vectors()
    place = {number: index for index, number in enumerate(ids)}
    right, errors, taken = 0, [0.0], []
    for query in queries:
        vectors = client.embed(query)
        start = time.perf_counter()
        found = store.nearest(vectors.rows[0], vectors.version, limit)
        taken.append(time.perf_counter() - start)
        distances = cosine_distances(rows, vectors.rows[0])
        farthest = np.sort(distances)[:limit][-1] + TOLERANCE
        for recipe in found:
            exact = distances[place[recipe.id]]
            right += exact <= farthest
            errors.append(abs(recipe.distance - exact))
    return Comparison(right / (limit * len(queries)), max(errors), 1_000 * median(taken))
