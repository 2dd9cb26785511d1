"""A run as a table, as JSON, and as the marked section of docs/benchmarks.md."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.measures import MEASURES, Measure
from bench.results import Results
from bench.services import PEERS, ROOT
from bench.statistics import Spread

PAGE = ROOT / "docs" / "benchmarks.md"
END = "<!-- /results -->"


def begin(subject: str) -> str:
    """The mark before the section of a model's results; `END` is after it."""
    return f"<!-- results: written by python -m bench --model {subject} -->"


def number(value: float, digits: int) -> str:
    """
    >>> number(1234.5, 0), number(3.14159, 2)
    ('1,234', '3.14')
    """
    return f"{value:,.{digits}f}"


def cell(found: Spread | None, digits: int) -> str:
    """
    >>> cell(Spread(2.0, 1.0, 3.0), 1), cell(Spread(2.0, 2.0, 2.0), 1), cell(None, 1)
    ('2.0 (1.0 to 3.0)', '2.0', '–')
    """
    if found is None:
        return "–"
    text = number(found.median, digits)
    if found.least == found.greatest:
        return text
    return f"{text} ({number(found.least, digits)} to {number(found.greatest, digits)})"


def rows(results: Results, ours: Sequence[str]) -> list[dict[str, Any]]:
    """Every row that something was measured for, with each service's spread, ratio and mark."""
    return [row for measure in MEASURES if (row := _row(measure, results, ours)) is not None]


def _row(measure: Measure, results: Results, ours: Sequence[str]) -> dict[str, Any] | None:
    values = {name: results.spread(measure.key, name) for name in (*PEERS, *ours)}
    if all(value is None for value in values.values()) or (measure.against and values[measure.against] is None):
        return None
    ratios: dict[str, Spread | None] = {}
    met: dict[str, bool | None] = {}
    for name in ours:
        judged = values[name]
        if measure.against:
            over, under = (measure.against, name) if measure.less_is_better else (name, measure.against)
            judged = ratios[name] = results.ratio(measure.key, over, under)
        if measure.target and judged:
            met[name] = measure.target.met(name, judged.median)
    return {"measure": measure, "values": values, "ratios": ratios, "met": met}


def table(found: Sequence[dict[str, Any]], ours: Sequence[str]) -> list[list[str]]:
    """The header, then a line for each row: values, then for each of ours its ratio, what is asked and the mark."""
    lines = [
        ["measure", "unit", *PEERS, *ours, *(f"{name}: ratio" for name in ours), *(f"{name}: asked" for name in ours)]
    ]
    for row in found:
        measure: Measure = row["measure"]
        line = [measure.label, measure.unit]
        line += [cell(row["values"][name], measure.digits) for name in (*PEERS, *ours)]
        line += [cell(row["ratios"].get(name), 2) if measure.against else "" for name in ours]
        line += [_asked(measure, name, row["met"].get(name)) for name in ours]
        lines.append(line)
    return lines


def _asked(measure: Measure, name: str, met: bool | None) -> str:
    bound = measure.target.bound(name) if measure.target else None
    if measure.target is None or bound is None:
        return ""
    mark = {True: "✓", False: "✗", None: "?"}[met]
    return f"{measure.target.sign} {bound:g} {mark}"


def processor_table(results: Results, ours: Sequence[str]) -> list[list[str]]:
    """Processor milliseconds for one request, by process."""
    names = [name for name in ours if name in results.processor_ms]
    processes = sorted({process for name in names for process in results.processor_ms[name]})
    lines = [["processor time for one request, ms", *names]]
    for process in processes:
        lines.append([process, *(number(results.processor_ms[name].get(process, 0.0), 2) for name in names)])
    return [*lines, ["all", *(number(sum(results.processor_ms[name].values()), 2) for name in names)]]


def as_text(lines: Sequence[Sequence[str]]) -> str:
    """Columns under one another, for a terminal.

    >>> print(as_text([["a", "b"], ["long", "1"]]))
    a     b
    long  1
    """
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first line as its header."""
    header, *rest = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([header, "|" + "---|" * len(lines[0]), *rest])


def document(results: Results, ours: Sequence[str], about: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a run: `about` (machine, plan, client), samples, spreads, ratios, targets, charts' points."""
    listed = []
    for row in rows(results, ours):
        measure: Measure = row["measure"]
        entry = asdict(measure)
        for part in ("values", "ratios"):
            entry[part] = {name: value._asdict() for name, value in row[part].items() if value is not None}
        listed.append({**entry, "met": row["met"]})
    return {
        **about,
        "failures": results.failures,
        "rows": listed,
        "processor_ms_per_request": results.processor_ms,
        "curves": results.curves,
        "samples": results.samples,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def rewrite_section(page: Path, section: str, begin: str, end: str = END) -> None:
    """Puts `section` between the page's marks `begin` and `end`.

    Raises `ValueError` where the page has not both.
    """
    text = page.read_text(encoding="utf-8")
    before, begun, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"{page.name} lacks the marks {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{section.strip()}\n\n{end}{after}", encoding="utf-8")
