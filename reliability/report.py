"""Where a run's results go: the long form to docs/, the short form to build/."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench import machine
from bench.report import as_markdown, as_text, rewrite_section, write_json
from bench.services import ROOT
from reliability.stack import WORK

PAGE = ROOT / "docs" / "reliability.md"


def publish(tool: str, short: bool, document: Mapping[str, Any], tables: Sequence[Sequence[Sequence[str]]]) -> None:
    """Prints the tables and writes the JSON; the long form also rewrites its section of docs/reliability.md.

    `document` has `seconds`, `summary` (one sentence) and `violations`.
    """
    violations: Sequence[str] = document["violations"]
    verdict = f"**{len(violations)} violations:** " + "; ".join(violations) if violations else "No violation."
    about = machine.describe()
    print("\n" + "\n\n".join(as_text(table) for table in tables) + f"\n\n{document['summary']}\n{verdict}")
    folder = WORK if short else PAGE.parent / "reliability"
    path = folder / f"{tool}.json"
    write_json(path, {"tool": tool, "short": short, "machine": about, **document})
    print(f"Written to {path.relative_to(ROOT)}.")
    if not short:
        parts = [f"{machine.sentence(about)}; {document['seconds'] / 60:.0f} minutes.", document["summary"], verdict]
        rewrite_section(PAGE, "\n\n".join([*parts, *map(as_markdown, tables)]), *marks(tool))


def marks(tool: str) -> tuple[str, str]:
    """What stands around a tool's section."""
    return f"<!-- {tool}: written by make {tool} -->", f"<!-- /{tool} -->"


def seconds(value: float | None) -> str:
    """
    >>> seconds(1.26), seconds(None)
    ('1.3', 'never')
    """
    return "never" if value is None else f"{value:.1f}"
