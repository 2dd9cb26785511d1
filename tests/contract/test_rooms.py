"""The proxy's rooms: each module imports only what the table in docs/architecture.md allows its room."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PROXY = PROJECT / "proxy"
FOLDERS = {"server", "middleware", "api", "embedding", "triton", "telemetry"}


def read_table() -> dict[str, tuple[set[str], set[str]]]:
    """By room: the proxy's rooms that it may import, and the packages beside the standard library."""
    document = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = document.partition("\n## The proxy's rooms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    rooms = {room.rstrip("/") for room, _, _ in rows}

    def names(cell: str, everything: set[str]) -> set[str]:
        if cell == "everything":
            return everything
        return set() if cell == "nothing" else set(cell.replace("`", "").split(", "))

    return {room.rstrip("/"): (names(inside, rooms), names(outside, set())) for room, inside, outside in rows}


TABLE = read_table()
MODULES = sorted(path.relative_to(PROXY) for path in PROXY.rglob("*.py"))


def room_of(module: tuple[str, ...]) -> str:
    """The room of a module or package of the proxy, by its path without `proxy`: the longest one of the table."""
    parts = [part for part in module if part != "__init__"]
    return next(room for end in range(len(parts), 0, -1) if (room := "/".join(parts[:end])) in TABLE)


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Each module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            module = tuple((node.module or "").split("."))
            # A name is a module of its own where there is one: `from proxy.api import truncation`.
            for alias in node.names:
                inside = PROJECT.joinpath(*module, alias.name)
                yield (*module, alias.name) if inside.is_dir() or inside.with_suffix(".py").exists() else module


def test_there_are_six_rooms_and_each_says_what_it_is() -> None:
    assert {path.name for path in PROXY.iterdir() if (path / "__init__.py").exists()} == FOLDERS
    for package in PROXY.rglob("__init__.py"):
        tree = ast.parse(package.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{package} says nothing"
        assert len(tree.body) == 1, f"{package} is more than a sentence"


def test_every_row_is_a_room() -> None:
    for room in TABLE:
        assert (PROXY / room).is_dir() or (PROXY / f"{room}.py").exists(), room


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_what_its_room_may(module: Path) -> None:
    if module == Path("__init__.py"):
        return
    room = room_of(module.with_suffix("").parts)
    inside, outside = TABLE[room]
    for name in imported(PROXY / module):
        if name[0] == "proxy":
            assert room_of(name[1:]) in inside | {room}, f"proxy/{module} imports {'.'.join(name)}"
        elif name[0] not in sys.stdlib_module_names:
            assert name[0] in outside, f"proxy/{module} imports {'.'.join(name)}"


def reachable(room: str) -> set[str]:
    """Every room that an import of this one brings along."""
    found = {room}
    while more := set().union(*(TABLE[each][0] for each in found)) - found:
        found |= more
    return found


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("embedding", {"settings", "responses", "server", "middleware", "api", "api/schemas", "triton", "telemetry"}),
        ("triton", {"settings", "responses", "server", "middleware", "api", "api/schemas", "telemetry"}),
        ("server", {"embedding", "triton", "api", "middleware", "telemetry", "settings"}),
        ("middleware", {"api", "triton", "server"}),
        ("api", {"triton", "middleware", "app"}),
        ("telemetry", {"api", "middleware", "server", "triton"}),
    ],
)
def test_imports_go_one_way(room: str, never: set[str]) -> None:
    assert not reachable(room) & never
