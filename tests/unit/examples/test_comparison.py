"""PostgreSQL against brute force: that a wrong neighbour and a wrong distance are seen, on vectors worked by hand."""

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from examples.recipe_search.comparison import compare, cosine_distances
from examples.recipe_search.embedding_client import EmbeddingClient, Vectors
from examples.recipe_search.store import Found, RecipeStore

ROWS = np.array([[1, 0], [0.8, 0.6], [2, 0], [0, 1], [-1, 0]], np.float32)
IDS = [11, 12, 13, 14, 15]  # recipes 11 and 13 are equally near to the query
DISTANCES = {11: 0.0, 12: 0.2, 13: 0.0, 14: 1.0, 15: 2.0}


class Client:
    """Gives each text the vector (1, 0)."""

    def embed(self, _: str) -> Vectors:
        return Vectors(np.array([[1, 0]], np.float32), "v1")


class Store:
    """Finds what it is told to."""

    def __init__(self, *found: tuple[int, float]) -> None:
        self._found = found

    def vectors(self) -> tuple[list[int], NDArray[np.float32]]:
        return IDS, ROWS

    def nearest(self, _vector: Any, _version: str, limit: int) -> list[Found]:
        return [Found(number, "", "", distance) for number, distance in self._found[:limit]]


def result(*found: tuple[int, float]) -> tuple[float, float]:
    compared = compare(cast(RecipeStore, Store(*found)), cast(EmbeddingClient, Client()), ["a", "b"], limit=len(found))
    return compared.recall, round(compared.largest_error, 6)


def test_cosine_distances() -> None:
    assert cosine_distances(ROWS, ROWS[0]) == pytest.approx(list(DISTANCES.values()), abs=1e-7)


@pytest.mark.parametrize("first", [11, 13])
def test_either_of_two_equally_near_recipes_is_right(first: int) -> None:
    assert result((first, 0.0)) == (1.0, 0.0)


def test_all_right() -> None:
    assert result((13, 0.0), (11, 0.0), (12, 0.2)) == (1.0, 0.0)


def test_a_recipe_that_is_not_among_the_nearest_is_seen() -> None:
    assert result((11, 0.0), (12, 0.2)) == (0.5, 0.0)


def test_a_recipe_that_is_missing_is_seen() -> None:
    store = cast(RecipeStore, Store((11, 0.0)))
    assert compare(store, cast(EmbeddingClient, Client()), ["a"], limit=2).recall == 0.5


def test_a_wrong_distance_is_seen() -> None:
    assert result((11, 0.25)) == (1.0, 0.25)
