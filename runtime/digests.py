"""Whether a repository is what the export wrote: every file's SHA-256, and no file more or less."""

import hashlib
import re
from pathlib import Path

from runtime.errors import RepositoryChanged

NAME = "SHA256SUMS"  # as export/digests.py writes it
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_ADVICE = "run `make export`"


def check_digests(repository: Path) -> None:
    """Reads every byte of `repository`.

    Raises `RepositoryChanged`, naming the first file that is missing, changed or not of the export. A file more counts
    because Triton would run it: a higher version's folder, a module that shadows another.
    """
    expected = _read(repository)
    found = {path.relative_to(repository).as_posix() for path in repository.rglob("*") if not path.is_dir()} - {NAME}
    for path in sorted(expected.keys() | found):
        if path not in found:
            raise RepositoryChanged(f"{repository / path} is missing: {_ADVICE}.")
        if path not in expected:
            raise RepositoryChanged(f"{repository / path} is not of the export: remove it or {_ADVICE}.")
        try:
            digest = _digest(repository / path)
        except OSError as error:
            raise RepositoryChanged(f"{repository / path} cannot be read: {error.strerror}.") from error
        if digest != expected[path]:
            raise RepositoryChanged(f"{repository / path} is not as it was exported (its SHA-256 differs): {_ADVICE}.")


def _read(repository: Path) -> dict[str, str]:
    """Path to digest."""
    try:
        lines = (repository / NAME).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise RepositoryChanged(f"{repository} has no {NAME}, which every export writes: {_ADVICE}.") from None
    except (OSError, ValueError) as error:
        raise RepositoryChanged(f"{repository / NAME} cannot be read: {_ADVICE}.") from error
    entries = [_LINE.fullmatch(line) for line in lines]
    if not entries or None in entries:
        raise RepositoryChanged(f"{repository / NAME} is not as it was written: {_ADVICE}.")
    return {entry[2]: entry[1] for entry in entries if entry is not None}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
