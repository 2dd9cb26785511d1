"""`python -m bench.page`: docs/benchmarks.md from the results in docs/benchmarks/, one file for a model and processor.

Nothing is measured here; `make bench` adds its own processor's file, and writes the page the same way.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import charts, machine, report
from bench.measures import Measure, of_model
from bench.report import PAGE
from bench.results import Results
from bench.services import PEERS, ROOT, SUBJECTS

FOLDER = ROOT / "docs" / "benchmarks"
END = "<!-- /results -->"


def begin(model: str) -> str:
    """The mark before the section of a model's results; `END` is after it."""
    return f"<!-- results: written by python -m bench --model {model} -->"


def file_of(model: str, processor: str, folder: Path = FOLDER) -> Path:
    """Where the results of a model on a processor lie; charts have the same beginning."""
    return folder / f"{model}-{machine.file_name(processor)}.json"


@dataclass(frozen=True)
class Run:
    """One file: a model's results on one processor."""

    model: str
    document: Mapping[str, Any]
    results: Results

    @classmethod
    def of(cls, model: str, document: Mapping[str, Any]) -> "Run":
        return cls(model, document, Results.read(document))

    @property
    def processor(self) -> str:
        found: str = self.document["machine"]["processor"]
        return found

    @property
    def ours(self) -> list[str]:
        """The precisions that were measured."""
        names = (name for values in self.results.samples.values() for name in values)
        return [name for name in dict.fromkeys(names) if name not in PEERS]

    @property
    def about(self) -> str:
        """The model, the machine and the versions, in one line."""
        described = f"{self.model}; {machine.sentence(self.document['machine'])}"
        return f"{described}; load from {self.document['client']}; {self.document['seconds'] / 60:.1f} minutes"

    def tables(self) -> list[list[list[str]]]:
        """Every row, and the processor time; the processor's name is in the head of both."""
        found = report.rows(self.results, self.ours, self.model)
        return [
            report.table(found, self.ours, self.processor),
            report.processor_table(self.results, self.ours, self.processor),
        ]

    def section(self) -> str:
        """The processor's own part of the page."""
        parts = [f"#### {self.model} on {self.processor}", f"{self.about}.", *map(report.as_markdown, self.tables())]
        stem = file_of(self.model, self.processor).stem
        drawn = [chart for chart in charts.CHARTS if self.results.curves.get(chart.curve)]
        parts += [
            f"![{chart.title}, {self.model} on {self.processor}](benchmarks/{stem}-{chart.file})" for chart in drawn
        ]
        parts += [f"This part failed: {failure}" for failure in self.results.failures]
        return "\n\n".join([*parts, *self.results.notes])


def stored(model: str, folder: Path = FOLDER) -> list[Run]:
    """The model's runs on each processor, by the names of their files."""
    files = sorted(folder.glob(f"{model}-*.json"))
    return [Run.of(model, json.loads(file.read_text(encoding="utf-8"))) for file in files]


def side_by_side(runs: Sequence[Run]) -> list[list[str]]:
    """The ratios: what is asked, then a column for each processor and precision."""
    precisions = list(dict.fromkeys(name for run in runs for name in run.ours))
    columns = [(run, name) for run in runs for name in precisions]
    found = {id(run): _by_label(report.rows(run.results, run.ours, run.model)) for run in runs}
    lines = [
        [
            "ratio, the more the better",
            *(f"asked, {name}" for name in precisions),
            *(f"{run.processor}: {name}" for run, name in columns),
        ]
    ]
    for measure in of_model(runs[0].model):
        cells = [_ratio(found[id(run)].get(measure.label), name) for run, name in columns]
        if measure.is_ratio and any(cell != "–" for cell in cells):
            lines.append([measure.label, *(_bound(measure, name) for name in precisions), *cells])
    return lines


def _by_label(found: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["measure"].label: row for row in found}


def _ratio(row: Mapping[str, Any] | None, name: str) -> str:
    if row is None:
        return "–"
    judged = row["ratios"] if row["measure"].against else row["values"]
    return f"{report.cell(judged.get(name), 2)} {report.mark(row['met'].get(name))}" if judged.get(name) else "–"


def _bound(measure: Measure, name: str) -> str:
    bound = measure.target.bound(name) if measure.target else None
    return "" if measure.target is None or bound is None else f"{measure.target.sign} {bound:g}"


def section(runs: Sequence[Run]) -> str:
    """What stands between a model's marks."""
    if not runs:
        return "Not run yet."
    return "\n\n".join([report.as_markdown(side_by_side(runs)), *(run.section() for run in runs)])


def rewrite(model: str, folder: Path = FOLDER, page: Path = PAGE) -> None:
    """Puts all results of a model that are in the folder into the page.

    Raises `ValueError` where the page lacks the model's marks.
    """
    report.rewrite_section(page, section(stored(model, folder)), begin(model), END)


def draw(run: Run, folder: Path = FOLDER) -> list[Path]:
    """Draws the run's charts into the folder; the files."""
    baseline = run.results.spread("rate_16", "baseline")
    stem = file_of(run.model, run.processor).stem
    return charts.draw(run.results.curves, baseline.median if baseline else None, folder, f"{stem}-")


def main() -> int:
    """Writes the page and draws every chart anew."""
    for model in SUBJECTS:
        rewrite(model)
        for run in stored(model):
            draw(run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
