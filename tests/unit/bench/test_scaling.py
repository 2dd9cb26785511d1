"""From a run's JSON to what a number of queries needs, and the page that holds it."""

from pathlib import Path
from typing import Any

import pytest

from bench.scaling import BEGIN, END, Measured, answer_bytes, hit_share, main, need, rewrite, section, tables

GIVEN = {
    "core-hour": 0.05,
    "utilisation": 0.5,
    "zone-gb": 0.02,
    "other-zone": 0.5,
    "search-ms": 3.0,
    "weights-gb": 0.5,
}


@pytest.fixture
def document() -> dict[str, Any]:
    def row(key: str, **values: float) -> dict[str, Any]:
        return {"key": key, "values": {name: {"median": value} for name, value in values.items()}}

    return {
        "machine": {"processor": "P", "cores": 2, "commit": "c"},
        "plan": {"log_texts": 2_000, "log_requests": 1_000, "log_seconds": 3},
        "rows": [
            row("rate_16", baseline=30.0, int8=200.0),
            row("zipf_rate", int8=800.0),
            row("batch_s", baseline=3.0, int8=0.5),
            row("memory_mb", baseline=1400.0, int8=1100.0),
            row("ready_s", baseline=9.0, int8=4.0),
        ],
    }


def test_only_our_precisions_are_read(document: dict[str, Any]) -> None:
    (found,) = Measured.read(document)
    assert (found.precision, found.cores, found.rate) == ("int8", 2, 200.0)
    assert found.tokens_per_second == 100 * 38 / 0.5


def test_a_target_by_hand(document: dict[str, Any]) -> None:
    (measured,) = Measured.read(document)
    found = need(1_000, measured, GIVEN)
    assert (found.pods, found.cores) == (10, 20)  # 1,000 / (200 * 0.5)
    assert found.dollars == pytest.approx(20 * 0.05 * 730)
    assert found.cached_pods == 3  # 1,000 / (800 * 0.5), rounded up
    assert found.memory_gb == pytest.approx(11.0)
    assert found.under_way == pytest.approx(80.0)  # 16 clients at 200/s: 80 ms each
    assert found.search_cores == pytest.approx(6.0)
    assert found.download_gb == pytest.approx(5.0)
    assert found.gbit_per_second == pytest.approx(1_000 * answer_bytes() * 8 / 1e9)
    assert found.zone_dollars == pytest.approx(answer_bytes() * 1_000 * 3600 * 730 / 1e9 * 0.01)


def test_hits_of_two_texts_by_hand() -> None:
    # Probabilities 2/3 and 1/3: the first request is new; of two, 8/9 + 5/9 are.
    assert hit_share(2, 0, 1) == pytest.approx(0.0)
    assert hit_share(2, 0, 2) == pytest.approx(1 - 13 / 18)
    assert hit_share(2, 1_000, 10) == pytest.approx(1.0)


def test_a_million_queries_cost_what_the_cores_of_a_second_cost(document: dict[str, Any]) -> None:
    line = next(line for line in tables(document, GIVEN)[0] if line[0].startswith("$ for a million"))
    # 50 queries a second and used core: 20,000 core seconds.
    assert line[1] == f"{20_000 / 3600 * 0.05:.2f}"


def test_only_the_marked_part_is_rewritten(document: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    rewrite(document, page)
    assert page.read_text() == f"before\n{BEGIN}\n\n{section(document)}\n\n{END}\nafter\n"


def test_an_assumption_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--core-hour", "1", "--search-ms", "7.5"]) == 0
    printed = capsys.readouterr().out
    assert "7.5 ms" in printed
    assert "1 $" in printed


@pytest.mark.parametrize("arguments", [["--core-hour", "0"], ["--core-hour", "nan"], ["--write", "--zone-gb", "0.1"]])
def test_what_cannot_be_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "above 0" in capsys.readouterr().err or "--write" in arguments
