"""The README's table of settings against the three Settings classes, and its other promises about files."""

import re
from pathlib import Path
from typing import Any

import export.settings
import proxy.settings
import runtime.settings

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def table(name: str) -> dict[str, str]:
    """The rows of the table after the comment `<!-- name: ... -->`, by what stands in their first column."""
    lines = README.partition(f"<!-- {name}: ")[2].splitlines()[3:]
    rows = lines[: lines.index("")]
    return {row.split(" | ")[0].removeprefix("| "): row for row in rows}


# A setting that two processes read is described once, by the first of these that has it.
CLASSES: list[Any] = [export.settings.Settings, runtime.settings.Settings, proxy.settings.Settings]


def default(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    text = text.removesuffix(".0") if isinstance(value, float) else text
    return f"`{text}`" if text else ""


def expected_rows() -> dict[str, str]:
    rows: dict[str, str] = {}
    for settings in CLASSES:
        for name, field in settings.model_fields.items():
            row = f"| `{name.upper()}` | {default(field.default)} | {field.description} |"
            rows.setdefault(name.upper(), row)
    return rows


def test_every_setting_is_in_the_table_as_the_code_has_it() -> None:
    found = {name.strip("`"): row for name, row in table("settings").items()}
    assert found == expected_rows()


def test_every_setting_of_the_compose_files_is_in_their_table() -> None:
    files = [path.read_text(encoding="utf-8") for path in PROJECT.glob("docker-compose*.yml")]
    used = {pair for file in files for pair in re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", file)}
    told: set[tuple[str, str]] = set()
    for row in table("deployment").values():
        names, defaults = (column.replace("`", "").strip().split(", ") for column in row.split("|")[1:3])
        told |= set(zip(names, defaults, strict=True))
    # Triton's ports, and what model is expected, are settings of the processes, too.
    assert told == {(name, value) for name, value in used if not name.startswith("TRITON_") or "PORT" not in name} - {
        ("EXPECTED_MODEL", export.settings.DEFAULT_MODEL)
    }


def test_settings_that_two_processes_read_have_one_default() -> None:
    defaults: dict[str, set[str]] = {}
    for settings in CLASSES:
        for name, field in settings.model_fields.items():
            defaults.setdefault(name, set()).add(str(field.default))
    assert {name: values for name, values in defaults.items() if len(values) > 1} == {}


def test_the_links_and_folders_of_the_readme_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (PROJECT / target).exists(), target
    for folder in re.findall(r"^\| `([a-z_]+)/` \|", README, re.MULTILINE):
        assert (PROJECT / folder).is_dir(), folder


def test_every_make_target_that_the_readme_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) - {"itself"} <= targets


if __name__ == "__main__":
    print("\n".join(expected_rows().values()))
