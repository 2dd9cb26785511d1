"""What each process of the service holds at one moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reliability.stack import LAUNCHER, SHARED_MEMORY, Stack

_PROC = Path("/proc")


@dataclass(frozen=True)
class Held:
    """By one process: bytes of memory, and descriptors.

    `rss` is resident memory, and `pss` the same where a shared page counts in part. The next three are what it consists
    of, which the kernel counts less exactly: own pages, pages of mapped files, pages of /dev/shm.
    """

    rss: int
    pss: int
    anonymous: int
    file: int
    shared: int
    descriptors: int


@dataclass(frozen=True)
class Sample:
    """By all of them, `seconds` after the start of the count."""

    seconds: float
    processes: dict[str, Held]
    segments: int  # in /dev/shm
    segment_bytes: int


def read(stack: Stack, seconds: float) -> Sample:
    """The service now. Raises `NotRunning` where Triton is not there."""
    processes = {
        "launcher" if name == LAUNCHER else name: _held(process) for name, process in stack.processes().items()
    }
    segments = stack.shared_memory()
    sizes = [(SHARED_MEMORY / name).stat().st_size for name in segments]
    return Sample(seconds, processes, len(segments), sum(sizes))


def orphans(names: set[str]) -> set[str]:
    """Of these segments and all that share their prefix, those that are there still."""
    prefixes = {_prefix(name) for name in names}
    return {path.name for path in SHARED_MEMORY.iterdir() if _prefix(path.name) in prefixes}


def _prefix(name: str) -> str:
    """What one launcher's segments begin with.

    >>> _prefix("sentence-embedding-c7daf288-09d8aff3-a6a9")
    'sentence-embedding-c7daf288'
    """
    return "-".join(name.split("-")[:3])


def _held(process: int) -> Held:
    folder = _PROC / str(process)
    exact, kinds = dict(_sizes(folder / "smaps_rollup")), dict(_sizes(folder / "status"))
    return Held(
        rss=exact["Rss"],
        pss=exact["Pss"],
        anonymous=kinds["RssAnon"],
        file=kinds["RssFile"],
        shared=kinds["RssShmem"],
        descriptors=sum(1 for _ in (folder / "fd").iterdir()),
    )


def _sizes(path: Path) -> Iterator[tuple[str, int]]:
    """The lines `Name:  12 kB` of a file in /proc, in bytes."""
    for line in path.read_text(errors="replace").splitlines():
        name, found, value = line.partition(":")
        if found and value.endswith(" kB"):
            yield name, int(value.split()[0]) * 1024
