"""The table of accuracies, and that the documentation page shows what was measured last."""

import json

import numpy as np

from bench.accuracy import BEGIN, DOCUMENT, END, PRECISIONS, distribution, table
from bench.report import PAGE, as_markdown


def test_the_distribution_of_cosines() -> None:
    expected = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    found = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    shown = {name: round(value, 6) for name, value in distribution(expected, found).items()}
    assert shown == {"minimum": 0.0, "1st percentile": 0.0, "median": 0.8}


def test_a_line_for_each_figure_and_a_column_for_each_precision() -> None:
    cosine = {"recipes": {"minimum": 0.5, "1st percentile": 0.75, "median": 1.0}}
    neighbours = {"mean": 0.875, "least": 0.1, "first": 1.0}
    measured = {"texts": {"recipes": 3}, "precisions": {"int8": {"cosine": cosine, "neighbours": neighbours}}}
    assert table(measured) == [
        ["measure", "int8"],
        ["cosine, 3 recipes: minimum", "0.500000"],
        ["cosine, 3 recipes: 1st percentile", "0.750000"],
        ["cosine, 3 recipes: median", "1.000000"],
        ["10 nearest recipes, the same: mean", "87.5 %"],
        ["10 nearest recipes, the same: least", "10.0 %"],
        ["nearest recipe, the same", "100.0 %"],
    ]


def test_the_page_shows_the_document() -> None:
    measured = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    section = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert tuple(measured["precisions"]) == PRECISIONS
    assert as_markdown(table(measured)) in section
