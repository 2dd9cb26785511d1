"""The processes of Triton's Python steps. One that has ended does not come back for certain; another Triton does."""

from pathlib import Path

_PROC = Path("/proc")
_STUB = "triton_python_backend_stub"
_COMMAND_LENGTH = 15  # of the name in /proc/PID/stat, see proc_pid_stat(5)


class Steps:
    """Which steps a Triton had when it was first asked for, and so which of them have ended since."""

    def __init__(self) -> None:
        self._triton = 0
        self._running: dict[int, Path] = {}

    def forget(self) -> None:
        """Which there are is found anew: some were ended, and others started, on purpose."""
        self._triton = 0

    def ended(self, triton: int) -> str:
        """A sentence that names the first step which the Triton of this process id has lost; empty where none is."""
        if triton != self._triton:
            self._triton, self._running = triton, _without_replaced(running_steps(triton))
        # One whose files are served no more was unloaded.
        lost = [model for process, model in sorted(self._running.items()) if not _runs(process) and model.exists()]
        if not _runs(triton):
            return ""  # its steps have ended with it
        return f"the process of its step {lost[0].parent.parent.name!r} has ended" if lost else ""


def _runs(process: int) -> bool:
    try:
        return (_PROC / str(process) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _without_replaced(steps: dict[int, Path]) -> dict[int, Path]:
    """The latest process of each file: one before it was unloaded, and has yet to end.

    >>> _without_replaced({7: Path("a"), 8: Path("b"), 9: Path("a")})
    {9: PosixPath('a'), 8: PosixPath('b')}
    """
    return {process: model for model, process in {model: process for process, model in steps.items()}.items()}


def running_steps(triton: int) -> dict[int, Path]:
    """Process ids of the Python steps of a Triton, each with its model's file; empty where it has none, or has ended.

    In the order in which they were started. A model's file is `<models>/<step>/<version>/<file>`.
    """
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            before, _, after = (entry / "stat").read_text(errors="replace").rpartition(")")
            fields = after.split()
            state, parent, started = fields[0], fields[1], int(fields[19])  # the 22nd in all, see proc_pid_stat(5)
            if int(parent) == triton and before.endswith(_STUB[:_COMMAND_LENGTH]) and state not in "ZX":
                model = Path((entry / "cmdline").read_text(errors="replace").split("\0")[1])
                found.append((started, int(entry.name), model))
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue  # ended meanwhile
    return {process: model for _, process, model in sorted(found)}
