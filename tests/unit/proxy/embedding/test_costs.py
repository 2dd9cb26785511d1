"""What a text costs a call, as the engine's counts correct it."""

import doctest

import numpy as np
import pytest

from proxy.embedding import calls, costs, tokenizing
from proxy.embedding.costs import TokenCosts


@pytest.mark.parametrize("module", [calls, costs, tokenizing])
def test_the_examples_in_the_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def learned(text: str, tokens: int) -> TokenCosts:
    """After 100 answers that say so many tokens of this text."""
    made = TokenCosts()
    for _ in range(100):
        made.learn([text], np.array([tokens], np.int32))
    return made


def test_the_counts_that_come_back_correct_the_estimate() -> None:
    assert learned("a" * 400, 102).estimate("b" * 200, 512) == 52
    assert learned("가" * 400, 402).estimate("나" * 200, 512) == pytest.approx(202, abs=1)


def test_texts_in_ascii_and_others_are_learned_apart() -> None:
    assert learned("가" * 400, 402).estimate("b" * 200, 512) == 102


def test_a_count_that_may_be_a_lower_bound_teaches_nothing() -> None:
    assert learned("a" * 100_000, 200).estimate("b" * 200, 512) == 102


@pytest.mark.parametrize(("tokens", "estimate"), [(2, 35), (10_000, 301)])
def test_odd_texts_make_other_calls_neither_huge_nor_tiny(tokens: int, estimate: int) -> None:
    assert learned(" " * 400, tokens).estimate("b" * 200, 512) == estimate


def test_empty_texts_and_token_ids_teach_nothing() -> None:
    made = TokenCosts()
    made.learn(["", (1, 2, 3)], np.array([2, 5], np.int32))
    assert made.estimate("b" * 200, 512) == 102
