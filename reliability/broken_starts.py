"""Starts on a model that is not whole: refused with a sentence, or right; and right once it is whole again."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reliability.corpus import Corpus, learn
from reliability.stack import WORK, NotRunning, Stack

_START_TIMEOUT_SECONDS = 15
_TEXTS = 40


@dataclass(frozen=True)
class BrokenStart:
    """What a start on one broken file came to."""

    name: str
    seconds: float
    said: str  # the launcher's last line
    violations: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"file": self.name, "seconds": self.seconds, "said": self.said, "violations": list(self.violations)}


def _halve(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _flip(path: Path) -> None:
    """Turns bytes in the middle, where the weights are."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        content = file.read(1 << 16)
        file.seek(path.stat().st_size // 2)
        file.write(bytes(byte ^ 0x55 for byte in content))


DAMAGES: tuple[tuple[str, str, Callable[[Path], None]], ...] = (
    ("model.pt, half of it", "encoder/*/model.pt", _halve),
    ("model.pt, 64 KiB changed", "encoder/*/model.pt", _flip),
    ("tokenizer.json, half of it", "tokenizer/*/tokenizer.json", _halve),
)


def try_starts(corpus: Corpus) -> Iterator[BrokenStart]:
    """Breaks one file after another before a start. The export must be there."""
    stack = Stack("chaos-broken-start", START_TIMEOUT_SECONDS=str(_START_TIMEOUT_SECONDS))
    for name, file, damage in DAMAGES:
        (path,) = stack.repository.resolve().glob(file)
        with _broken(path, damage):
            yield _start(stack, name, corpus)
    yield _start(stack, "all files whole again", corpus, must_serve=True)


@contextlib.contextmanager
def _broken(path: Path, damage: Callable[[Path], None]) -> Iterator[None]:
    # The damaged one is a copy: whatever happens, the rename at the end brings the whole one back. It is kept outside,
    # since a file more would be refused for itself.
    kept = WORK / f"kept-{path.name}"
    path.rename(kept)
    try:
        shutil.copy(kept, path)
        damage(path)
        yield
    finally:
        kept.replace(path)


def _start(stack: Stack, name: str, corpus: Corpus, must_serve: bool = False) -> BrokenStart:
    started = time.monotonic()
    violations = []
    stack.log.write_bytes(b"")
    stack.start()
    try:
        stack.wait_until_healthy(2.0 * _START_TIMEOUT_SECONDS)
        if not serves_right(stack.url, corpus):
            violations.append("wrong vectors")
    except NotRunning:
        if must_serve:
            violations.append("not served")
        if stack.launcher.poll() is None:
            violations.append("neither served nor refused")
        elif stack.launcher.returncode == 0:
            violations.append("refused with exit code 0")
    finally:
        stack.stop()
    lines = stack.log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    said = errors[-1] if errors else next((line for line in lines if line.startswith("Ready: ")), "")
    if not said:
        violations.append("nothing was said")
    said = said.replace(str(WORK), "…").partition(". Try: ")[0]
    return BrokenStart(name, time.monotonic() - started, said, tuple(violations))


def serves_right(url: str, corpus: Corpus) -> bool:
    """Whether the service's vectors, asked at rest, are those of the corpus."""
    found = learn(url, _TEXTS)
    places = {text: place for place, text in enumerate(corpus.texts)}
    known = [(row, places[text]) for row, text in enumerate(found.texts) if text in places]
    rows = [row for row, _ in known]
    return bool(known) and all(
        corpus.is_right([place for _, place in known], normalize, found.vectors[normalize][rows])
        for normalize in (True, False)
    )
