"""The digest of every file of a repository, beside the models, in the form that `sha256sum --check` reads."""

import hashlib
from pathlib import Path

# Triton takes folders alone for models.
NAME = "SHA256SUMS"


def seal(repository: Path) -> None:
    """Writes `NAME` into `repository`: `<SHA-256, hexadecimal>  <path from there>` for each file, by path.

    An empty file stands where Python would keep bytecode, code that the export did not write: the steps' Python heeds
    no setting that says so.
    """
    for folder in {path.parent for path in repository.rglob("*.py")}:
        (folder / "__pycache__").touch()
    paths = sorted(path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file())
    lines = (f"{_digest(repository / path)}  {path}\n" for path in paths if path != NAME)
    (repository / NAME).write_text("".join(lines), encoding="utf-8")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
