"""A service's processes as the kernel counts them: memory, and processor time by what each process does."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def tree(root: int) -> list[int]:
    """Process ids of `root` and of all that it, and they, started."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for process in found:
        found.extend(children.get(process, []))
    return found


def proportional_memory(root: int) -> int:
    """Bytes of the whole tree as PSS: a page that n processes share counts as one n-th in each.

    Processes outside the tree that map the same libraries make it smaller: read it while no other service runs.
    """
    total = 0
    for process in tree(root):
        try:
            lines = (_PROC / str(process) / "smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def processor_seconds(root: int) -> dict[str, float]:
    """User and system time of each process of the tree since it started, summed by `role`."""
    seconds: dict[str, float] = {}
    for process in tree(root):
        fields = stat(process)
        if fields is not None:
            name = role(arguments(process))
            # utime and stime: fields 14 and 15 of proc_pid_stat(5), counted from the state, which is field 3.
            seconds[name] = seconds.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / _TICKS
    return seconds


def role(arguments: list[str]) -> str:
    """What a process of ours does, from its command line.

    >>> role(["python", "-m", "proxy"]), role(["/x/triton_python_backend_stub", "/r/pooling/1/model.py", "prefix"])
    ('proxy', 'stub: pooling')
    """
    if not arguments:
        return "other"
    program = Path(arguments[0]).name
    if program == "triton_python_backend_stub":
        return f"stub: {Path(arguments[1]).parent.parent.name}"
    if "-m" in arguments[1:-1]:
        return arguments[arguments.index("-m") + 1]
    return program


def arguments(process: int) -> list[str]:
    """The command line; empty where the process has ended."""
    try:
        return (_PROC / str(process) / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def stat(process: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may hold spaces; the state is the first."""
    try:
        return (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
