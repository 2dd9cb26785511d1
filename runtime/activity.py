"""What the processes of one child do: their processor time, and whether one is stopped or waits for its turn."""

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")

# Of processor time in a second, less than this is none: what it takes to turn the questions themselves away.
_NONE_SECONDS = 0.05


@dataclass(frozen=True)
class Activity:
    """All processes of a session at one instant."""

    processor_seconds: dict[int, float]  # by process id
    stopped: bool  # whether one is stopped by a signal: it does nothing until another one
    wants: bool  # whether a thread runs, waits for a processor or for a disk

    def rested_since(self, before: "Activity", seconds: float) -> bool:
        """Whether nothing will come of waiting, by what was done in the `seconds` since `before`."""
        if self.stopped and before.stopped:
            return True
        used = sum(now - before.processor_seconds.get(process, 0.0) for process, now in self.processor_seconds.items())
        return used < _NONE_SECONDS * seconds and not self.wants


def activity(session: int) -> Activity:
    """Of the session that the process of this id leads; each child has its own (see `Children`)."""
    times, states, threads = {}, set(), set()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        fields = _stat(entry)
        # Numbered as in proc_pid_stat(5), from the state on: 3 state, 6 session, 14 utime, 15 stime.
        if len(fields) < 13 or int(fields[3]) != session or fields[0] in "ZX":
            continue
        times[int(entry.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
        states.add(fields[0])
        try:
            threads |= {each[0] for each in map(_stat, (entry / "task").iterdir()) if each}
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
    return Activity(times, "T" in states, bool(threads & {"R", "D"}))


def _stat(folder: Path) -> list[str]:
    """The fields after the command's name; none where the process, or the thread, has ended."""
    try:
        return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
