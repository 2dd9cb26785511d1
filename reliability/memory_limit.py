"""Out-of-memory kills by the kernel: a process is moved to a memory cgroup that may not have one page more."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
GROUP = "reliability-no-memory"
_POLL_SECONDS = 0.01
_REMOVE_SECONDS = 2.0  # until the kernel has counted the last process out


@dataclass(frozen=True)
class Hierarchy:
    """Where memory cgroups are made, and what version 1 and version 2 of them call their files."""

    folder: Path
    limit: str
    events: str  # with the line `oom_kill N`
    anchor: str  # a file that is there only where the controller is


VERSIONS = (
    Hierarchy(_ROOT / "memory", "memory.limit_in_bytes", "memory.oom_control", "memory.limit_in_bytes"),
    Hierarchy(_ROOT, "memory.max", "memory.events", "cgroup.subtree_control"),
)


class NotKilled(Exception):
    """The process lives on."""


def why_not() -> str:
    """Why no process can be killed for its memory here; empty where one can."""
    try:
        with _group():
            return ""
    except OSError as error:
        return f"no memory cgroup can be made here ({os.strerror(error.errno or 0)})"


def kill(process: int, seconds: float) -> None:
    """Takes all further memory from a process, and returns when the kernel has killed it for want of some.

    Its pages stay charged where they were: only the next one counts, which a process that works soon asks for.
    Blocks. Raises `NotKilled` after `seconds`, and `OSError` where `why_not` has a reason.
    """
    with _group() as group:
        (group / "cgroup.procs").write_text(str(process))
        deadline = time.monotonic() + seconds
        try:
            while not _kills(group):
                if time.monotonic() > deadline:
                    raise NotKilled(f"the kernel did not kill process {process} in {seconds:g} s")
                time.sleep(_POLL_SECONDS)
        finally:
            _empty(group)


@contextlib.contextmanager
def _group() -> Iterator[Path]:
    """A group that may have no memory; it must be empty at the end. Raises `OSError`."""
    kind = hierarchy()
    group = kind.folder / f"{GROUP}-{os.getpid()}"
    group.mkdir()
    try:
        (group / kind.limit).write_text("0")
        yield group
    finally:
        _remove(group)


def hierarchy() -> Hierarchy:
    """The one that this machine has. Raises `FileNotFoundError`."""
    for kind in VERSIONS:
        if (kind.folder / kind.anchor).exists():
            return kind
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(_ROOT))


def _kills(group: Path) -> int:
    counts = dict(line.split() for line in (group / hierarchy().events).read_text().splitlines())
    return int(counts["oom_kill"])


def _empty(group: Path) -> None:
    for process in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):  # dead already
            (group.parent / "cgroup.procs").write_text(process)


def _remove(group: Path) -> None:
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
