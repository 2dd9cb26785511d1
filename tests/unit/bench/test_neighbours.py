"""Nearest neighbours and their agreement, on vectors worked by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.neighbours import Agreement, agreement, nearest


def on_the_circle(*degrees: float) -> NDArray[np.float32]:
    """Unit vectors, whose cosines fall with the angle between them."""
    angles = np.radians(degrees)
    return np.array([np.cos(angles), np.sin(angles)], dtype=np.float32).T


def test_the_nearest_comes_first_and_never_the_query_itself() -> None:
    assert nearest(on_the_circle(0, 10, 30, 70), 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_equal_texts_are_each_others_nearest() -> None:
    assert nearest(on_the_circle(0, 50, 0, 0), 2).tolist() == [[2, 3], [0, 2], [0, 3], [0, 2]]


def test_a_model_agrees_with_itself() -> None:
    vectors = on_the_circle(0, 10, 30, 70)
    assert agreement(vectors, vectors, 3) == Agreement(1.0, 1.0, 1.0)


def test_the_order_counts_for_the_first_alone() -> None:
    # Neighbours of each: 0 10 30 70 has [1 2] [0 2] [1 0] [2 1]; 0 25 30 70 has [1 2] [2 0] [1 0] [2 1].
    assert agreement(on_the_circle(0, 10, 30, 70), on_the_circle(0, 25, 30, 70), 2) == Agreement(1.0, 1.0, 0.75)


def test_shares() -> None:
    # 0 10 30 70 has [1 2] [0 2] [1 0] [2 1]; 0 60 30 70 has [2 1] [3 2] [0 1] [1 2].
    found = agreement(on_the_circle(0, 10, 30, 70), on_the_circle(0, 60, 30, 70), 2)
    assert found == Agreement((1 + 0.5 + 1 + 1) / 4, 0.5, 0.0)


@pytest.mark.parametrize("count", [0, 3])
def test_so_many_neighbours_there_must_be(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} neighbours of 3 and 3 vectors"):
        agreement(on_the_circle(0, 1, 2), on_the_circle(0, 1, 2), count)
