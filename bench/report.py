"""A run as tables and as JSON, and the marked section of a page."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.measures import PROXY, Measure, Target, of_model
from bench.results import Results
from bench.services import PEERS, ROOT
from bench.statistics import Spread

PAGE = ROOT / "docs" / "benchmarks.md"


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


def rows(results: Results, ours: Sequence[str], model: str) -> list[dict[str, Any]]:
    """Every row of a model that something was measured for, with each service's spread, ratio and mark."""
    return [row for measure in of_model(model) if (row := _row(measure, results, ours)) is not None]


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


def table(found: Sequence[dict[str, Any]], ours: Sequence[str], processor: str) -> list[list[str]]:
    """The header, then a line for each row: values, then for each of ours its ratio, what is asked and the mark.

    Services without any value have no column; a row against a peer has no values, since they stand above it.
    """
    others = [name for name in PEERS if any(row["values"][name] for row in found)]
    ratios, asked = (f"{name}: ratio" for name in ours), (f"{name}: asked" for name in ours)
    lines = [[f"measure, {processor}", "unit", *others, *ours, *ratios, *asked]]
    for row in found:
        measure: Measure = row["measure"]
        line = [measure.label, "" if measure.is_against_peer else measure.unit]
        line += [
            "" if measure.is_against_peer else cell(row["values"][name], measure.digits) for name in (*others, *ours)
        ]
        line += [cell(row["ratios"].get(name), 2) if measure.against else "" for name in ours]
        line += [asked_of(measure.target, name, row["met"].get(name)) for name in ours]
        lines.append(line)
    return lines


def asked_of(target: Target | None, name: str, met: bool | None) -> str:
    """What is asked of a precision, and whether it is reached; empty where nothing is.

    >>> asked_of(Target("≥", 3, None), "float16", True), asked_of(Target("≥", 3, None), "int8", None)
    ('≥ 3 ✓', '')
    """
    bound = target.bound(name) if target else None
    return "" if target is None or bound is None else f"{target.sign} {bound:g} {mark(met)}"


def mark(met: bool | None) -> str:
    """ "?" where it could not be measured."""
    return {True: "✓", False: "✗", None: "?"}[met]


def processor_table(results: Results, ours: Sequence[str], processor: str) -> list[list[str]]:
    """Processor milliseconds for one request, by process; what is asked of the proxy."""
    names = [name for name in ours if name in results.processor_ms]
    processes = sorted({process for name in names for process in results.processor_ms[name]})
    lines = [[f"processor time for one request, ms, {processor}", *names, *(f"{name}: asked" for name in names)]]
    for process in processes:
        found = {name: results.processor_ms[name].get(process, 0.0) for name in names}
        target = PROXY if process == "proxy" else None
        asked = [asked_of(target, name, PROXY.met(name, found[name])) for name in names]
        lines.append([process, *(number(found[name], 2) for name in names), *asked])
    sums = [number(sum(results.processor_ms[name].values()), 2) for name in names]
    return [*lines, ["all", *sums, *("" for _ in names)]]


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
    """The JSON of a run: `about` (model, machine, plan, client), samples, spreads, ratios, targets, charts' points."""
    listed = []
    for row in rows(results, ours, about["model"]):
        measure: Measure = row["measure"]
        entry = asdict(measure)
        for part in ("values", "ratios"):
            entry[part] = {name: value._asdict() for name, value in row[part].items() if value is not None}
        listed.append({**entry, "met": row["met"]})
    return {
        **about,
        "failures": results.failures,
        "notes": results.notes,
        "rows": listed,
        "processor_ms_per_request": results.processor_ms,
        "curves": results.curves,
        "samples": results.samples,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def rewrite_section(page: Path, section: str, begin: str, end: str) -> None:
    """Puts `section` between the page's marks `begin` and `end`.

    Raises `ValueError` where the page has not both.
    """
    text = page.read_text(encoding="utf-8")
    before, begun, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"{page.name} lacks the marks {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{section.strip()}\n\n{end}{after}", encoding="utf-8")
