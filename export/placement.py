"""Exports side by side in one folder, and the link that says which one serves.

`build/repositories/<key>` holds a finished export; `build/model_repository` is a link to the one in force, moved in
one rename. An export that fails or is killed leaves the link, and what it points to, as they were.
"""

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import RepositoryNotWritten
from export.settings import Settings
from export.source import ModelSource, locate, parse_source

KEPT = 2  # finished exports on the disk, beside those that are served: the one in force and the one before it
_PROJECT = Path(__file__).resolve().parent.parent


def ensure_exported(settings: Settings, if_needed: bool) -> None:
    """Exports MODEL at PRECISION and puts it in force; with `if_needed`, only where it is not there yet.

    Raises `ExportError`. Imports torch only where there is something to export.
    """
    source = parse_source(settings.model, settings.revision)
    key = export_key(source, settings.precision)
    link = settings.model_repository
    repositories = link.parent / "repositories"
    try:
        repositories.mkdir(parents=True, exist_ok=True)
        with _lock(link.parent / ".export.lock"):
            finished = repositories / key
            if not (if_needed and finished.is_dir()):
                _export(source, settings, key, finished)
            _point(link, finished)
            _remove_old(repositories, keep=finished)
    except OSError as error:
        raise RepositoryNotWritten(
            f"MODEL_REPOSITORY={link}: the repository could not be written: {error.strerror or error}."
        ) from error


def export_key(source: ModelSource, precision: str) -> str:
    """Names an export: the model's name and a digest of all that decides what is in it."""
    parts = [source.identity, precision, exporter_version(), importlib.metadata.version("torch")]
    return f"{source.name}-{precision}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"


def exporter_version() -> str:
    """A digest of the exporter's own files and the hand-written repository: a change of either exports again."""
    digest = hashlib.sha256()
    for folder in ("export", "model_repository"):
        for path in sorted((_PROJECT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(_PROJECT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _export(source: ModelSource, settings: Settings, key: str, finished: Path) -> None:
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=finished.parent))
    unpacked = Path(tempfile.mkdtemp(prefix=".model-", dir=finished.parent))
    try:
        model = locate(source, unpacked / source.name)
        from export.pipeline import export_model  # torch and transformers: seconds to import

        version = next_version(finished.parent)
        export_model(model, settings.precision, key, exporter_version(), version, staging)
        staging.chmod(0o755)  # mkdtemp's 0700 would shut out a server that runs as another user
        if finished.exists():
            # The same key again, on request: the folder in force is moved aside, not changed under a server's feet.
            finished.rename(Path(tempfile.mkdtemp(prefix=".replaced-", dir=finished.parent)) / "repository")
        staging.rename(finished)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(unpacked, ignore_errors=True)


def next_version(repositories: Path) -> int:
    """A version of the models that no finished export has: one Triton may serve two of them for a while."""
    found = [int(path.name) for path in repositories.glob("*/*/*") if path.name.isdigit() and path.is_dir()]
    return max(found, default=0) + 1


def _point(link: Path, target: Path) -> None:
    """Moves the link in one rename; a reader sees the old target or the new one."""
    relative = os.path.relpath(target, link.parent)
    if link.is_symlink() and str(link.readlink()) == relative:
        return
    if link.exists() and not link.is_symlink():
        raise OSError(f"{link.name} is a folder, and must be a link that the export makes; remove it")
    fresh = link.with_name(f".{link.name}-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(relative)
    fresh.replace(link)


def _remove_old(repositories: Path, keep: Path) -> None:
    os.utime(keep)  # the one in force counts as the newest
    finished = [path for path in repositories.iterdir() if not path.name.startswith(".")]
    finished.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    # What an earlier, killed export left behind goes too: the lock says that no other export runs.
    left_over = [path for path in repositories.iterdir() if path.name.startswith(".")]
    for path in finished[KEPT:] + left_over:
        if not _is_served(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_served(folder: Path) -> bool:
    """Whether a launcher holds it (runtime/serving.py): its Triton may have to be started on it again."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
