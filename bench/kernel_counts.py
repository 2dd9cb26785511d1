"""What the kernel counts of a service's threads: processor time, run delay, wake-ups and preemptions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.processes import arguments, role, tree

# Seconds on a core; seconds ready to run while others had the cores (run delay); times that a thread slept, and so was
# woken (voluntary context switches); times that one lost its core to another (involuntary ones).
Counts = NDArray[np.float64]


def of_thread(schedstat: str, status: str) -> Counts:
    """From /proc/PID/task/TID/schedstat (nanoseconds on a core, nanoseconds of run delay, turns) and .../status.

    >>> of_thread("2000000 500000 7", "voluntary_ctxt_switches: 5\\nnonvoluntary_ctxt_switches: 2\\n").tolist()
    [0.002, 0.0005, 5.0, 2.0]
    """
    processor, run_delay, _ = map(int, schedstat.split())
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    switches = [float(fields[f"{kind}_ctxt_switches"]) for kind in ("voluntary", "nonvoluntary")]
    return np.array([processor / 1e9, run_delay / 1e9, *switches])


def counts(root: int) -> dict[str, Counts]:
    """Of `root` and each process that it started, by `role`: sums over its threads, since each began."""
    found: dict[str, Counts] = {}
    for process in tree(root):
        name = role(arguments(process))
        for thread in Path(f"/proc/{process}/task").glob("*"):
            try:
                each = of_thread((thread / "schedstat").read_text(), (thread / "status").read_text(errors="replace"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended meanwhile
            found[name] = found.get(name, 0.0) + each
    return found


def total(processes: Mapping[str, Counts]) -> Counts:
    """Of all of them."""
    summed: Counts = np.sum(list(processes.values()), axis=0)
    return summed
