"""From samples to the table, the JSON and the documentation page."""

import json
from pathlib import Path

import pytest

from bench.page import END, begin
from bench.report import as_markdown, as_text, document, processor_table, rewrite_section, rows, table
from bench.results import Results
from bench.statistics import Spread, percentile, spread

OURS = ["float16", "int8"]


@pytest.fixture
def results() -> Results:
    made = Results()
    for baseline, half, eight in ((30.0, 10.0, 8.0), (40.0, 10.0, 10.0), (36.0, 9.0, 6.0)):
        made.add("p50_ms", "baseline", baseline)
        made.add("p50_ms", "float16", half)
        made.add("p50_ms", "int8", eight)
    made.add("rate_16", "baseline", 20.0)
    made.add("rate_16", "float16", 130.0)
    made.processor_ms["float16"] = {"proxy": 1.25, "stub: encoder": 8.0}
    made.add_point("tokens", "float16", 3, 0.01)
    return made


def line(lines: list[list[str]], label: str) -> dict[str, str]:
    return dict(zip(lines[0], next(found for found in lines if found[0] == label), strict=True))


def found_table(results: Results) -> list[list[str]]:
    return table(rows(results, OURS, "stand-in"), OURS, "P")


def test_percentile_is_the_nearest_rank() -> None:
    values = list(range(1, 101))
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7.0], 99) == 7.0


def test_spread() -> None:
    assert spread([5.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.0, 5.0)


def test_ratios_are_taken_round_by_round(results: Results) -> None:
    assert results.ratio("p50_ms", "baseline", "float16") == Spread(4.0, 3.0, 4.0)
    assert results.ratio("p50_ms", "infinity", "float16") is None


def test_a_row_shows_values_ratio_and_mark(results: Results) -> None:
    found = line(found_table(results), "one short query, one client, p50")
    assert found["baseline"] == "36.0 (30.0 to 40.0)"
    assert found["float16: ratio"] == "4.00 (3.00 to 4.00)"
    assert found["float16: asked"] == "≥ 3 ✓"
    assert found["int8: asked"] == "≥ 3.5 ✓"


def test_what_was_not_measured_is_no_success(results: Results) -> None:
    found = line(found_table(results), "short queries, 16 clients")
    assert found["float16: ratio"] == "6.50"
    assert found["int8: asked"] == "≥ 10 ?"
    assert not any("infinity" in cell for row in found_table(results) for cell in row)


def test_a_row_against_a_peer_has_ratio_and_mark_alone(results: Results) -> None:
    results.add("rate_16", "infinity-onnx", 100.0)
    found = line(found_table(results), "short queries, 16 clients, against infinity-onnx")
    assert found["infinity-onnx"] == found["float16"] == ""
    assert found["float16: ratio"] == "1.30"
    assert found["float16: asked"] == "≥ 2 ✗"


def test_memory_is_asked_of_real_weights_alone(results: Results) -> None:
    results.add("memory_mb", "float16", 650.0)
    for model, asked in (("stand-in", ""), ("multilingual-e5-small", "≤ 700 ✓")):
        found = table(rows(results, OURS, model), OURS, "P")
        assert line(found, "memory of all processes (PSS)")["float16: asked"] == asked


def test_columns_stand_under_one_another() -> None:
    assert as_text([["a", "b"], ["long", "1"]]) == "a     b\nlong  1"
    assert as_markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_processor_time_is_summed(results: Results) -> None:
    found = processor_table(results, OURS, "P")
    assert found[-1] == ["all", "9.25", ""]
    assert line(found, "proxy")["float16: asked"] == "≤ 0.18 ✗"


def test_the_json_can_be_read_back(results: Results) -> None:
    read = json.loads(json.dumps(document(results, OURS, {"model": "stand-in", "plan": {"name": "full"}})))
    assert read["rows"][0]["values"]["float16"] == {"median": 10.0, "least": 9.0, "greatest": 10.0}
    assert read["rows"][0]["met"] == {"float16": True, "int8": True}
    assert read["curves"] == {"tokens": {"float16": [[3, 0.01]]}}


def test_a_failing_part_is_noted_and_the_next_goes_on(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    with results.part("this one"):
        raise ValueError("no")
    assert results.failures == ["this one: ValueError: no"]
    assert "this one" in capsys.readouterr().out


def test_an_optional_part_that_fails_is_no_failure_of_the_run(results: Results) -> None:
    with results.part("a peer", optional=True):
        raise ValueError("no")
    assert (results.failures, results.notes) == ([], ["a peer: ValueError: no"])


def test_only_the_marked_section_of_the_page_changes(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    first, second = begin("stand-in"), begin("other")
    page.write_text(f"before\n{first}\nold\n{END}\nbetween\n{second}\nold\n{END}\nafter\n")
    rewrite_section(page, "new\n", second, END)
    assert page.read_text() == (f"before\n{first}\nold\n{END}\nbetween\n{second}\n\nnew\n\n{END}\nafter\n")
    page.write_text("no marks")
    with pytest.raises(ValueError, match="marks"):
        rewrite_section(page, "new", first, END)
