"""The table of accuracies, and that the documentation page shows what was measured last."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.accuracy import (
    BEGIN,
    DOCUMENT,
    END,
    ORIGINAL,
    PRECISIONS,
    distribution,
    search_quality,
    search_table,
    table,
)
from bench.report import PAGE, as_markdown


def test_the_distribution_of_cosines() -> None:
    expected = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    found = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    shown = {name: round(value, 6) for name, value in distribution(expected, found).items()}
    assert shown == {"minimum": 0.0, "1st percentile": 0.0, "median": 0.8}


COSINE = {"recipes": {"minimum": 0.5, "1st percentile": 0.75, "median": 1.0}}
MEASURED = {
    "models": [
        {
            "name": name,
            "texts": {"recipes": 3},
            "dishes": 8,
            "precisions": {"int8": {"cosine": COSINE, "neighbours": {"mean": mean, "least": 0.1, "first": 1.0}}},
            "search": {ORIGINAL: {"nearest": 0.5, "among": 1.0}, "int8": {"nearest": 0.25, "among": mean}},
        }
        for name, mean in (("mini", 0.875), ("other", 0.75))
    ]
}


def test_a_line_for_each_figure_and_a_column_for_each_model_and_precision() -> None:
    assert table(MEASURED) == [
        ["measure", "mini, int8", "other, int8"],
        ["cosine, 3 recipes: minimum", "0.500000", "0.500000"],
        ["cosine, 3 recipes: 1st percentile", "0.750000", "0.750000"],
        ["cosine, 3 recipes: median", "1.000000", "1.000000"],
        ["10 nearest recipes, the same: mean", "87.5 %", "75.0 %"],
        ["10 nearest recipes, the same: least", "10.0 %", "10.0 %"],
        ["nearest recipe, the same", "100.0 %", "100.0 %"],
    ]


def test_what_names_find_beside_what_the_original_finds() -> None:
    assert search_table(MEASURED) == [
        ["dish names that find their own description", ORIGINAL, "int8"],
        ["mini, as the nearest of 8", "50.0 %", "25.0 %"],
        ["mini, among the 10 nearest of 8", "100.0 %", "87.5 %"],
        ["other, as the nearest of 8", "50.0 %", "25.0 %"],
        ["other, among the 10 nearest of 8", "100.0 %", "75.0 %"],
    ]


def test_quality_is_the_share_of_names_whose_own_description_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.accuracy.dishes", lambda: {"soup": "hot", "ice": "cold", "bread": "warm", "tea": "hot"})
    vectors = {
        "soup": [1, 0],
        "ice": [0, 1],
        "bread": [1, 0],
        "tea": [1, 0],
        "hot": [1, 0],
        "cold": [0, 1],
        "warm": [0, 1],
    }

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([vectors[text] for text in texts], np.float32)

    # Soup, tea and ice find their own, which others may equal; bread finds what is hot.
    assert search_quality(embed) == {"nearest": 0.75, "among": 1.0}


def test_the_page_shows_the_document() -> None:
    measured = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    section = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    for model in measured["models"]:
        assert tuple(model["precisions"]) == PRECISIONS
        assert tuple(model["search"]) == (ORIGINAL, *PRECISIONS)
    assert as_markdown(table(measured)) in section
    assert as_markdown(search_table(measured)) in section
