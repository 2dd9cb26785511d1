"""A clock that jumps: libfaketime between the service and the time of day, and a file that says by how much."""

import os
import urllib.request
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

_LIBRARY = "faketime/libfaketimeMT.so.1"  # under the folder of the architecture's libraries, as Debian has it
_SLEEP = Path(__file__).parent / "without_nanosleep"
_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")


class Clock:
    """The time of day of every process that was started with `environment`, as far ahead as `jump` last said."""

    def __init__(self, file: Path) -> None:
        """Writes `file`, which each process reads whenever it asks for the time."""
        self._file = file
        self.jump(timedelta())

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with. The monotonic clock stays as it is: it never jumps."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": os.pathsep.join([str(_SLEEP), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }

    def jump(self, ahead: timedelta) -> None:
        """Sets the clock so far ahead of the machine's own, or back where that is negative."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{ahead.total_seconds():+.0f}s\n")
        written.replace(self._file)


def library() -> Path | None:
    """libfaketime for programs with threads; None where it is not installed."""
    return next((path for folder in _FOLDERS if (path := Path(folder) / _LIBRARY).is_file()), None)


def why_not() -> str:
    """Why no clock can jump here; empty where one can."""
    return "" if library() else "libfaketime is not installed (Debian: apt-get install libfaketime)"


def is_held_by(process: int) -> bool:
    """Whether the library lies between this process and its clock."""
    return _LIBRARY in Path(f"/proc/{process}/maps").read_text(errors="replace")


def ahead_of_ours(url: str) -> timedelta:
    """How far the clock of an HTTP server is ahead of ours, by the Date of its answer. Raises `OSError`."""
    with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
        return parsedate_to_datetime(answer.headers["Date"]) - datetime.now(timezone.utc)
