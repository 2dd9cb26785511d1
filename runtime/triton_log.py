"""Reads Triton's log: passes on what concerns the user, in a short form, and notes how far loading and stopping are."""

import re
from collections.abc import Callable

# I1122 10:03:09.584173 11146 backend_model.cc:692] "message"
_LINE = re.compile(r"^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ \d+ [\w.-]+:\d+\] (.*)$")
# Lines that go with an info line: its tables, and the traceback that the error line repeats.
_CONTINUATION = re.compile(r"^(\+-|\||At:$|Signal \(\d+\) received|\s+\S.*\(\d+\): )|^\s*$")
# Of no concern: that there is no GPU; and what is told once more, with the model's name.
_NOISE = re.compile(
    "CudaDriverHelper|CUDA driver version is insufficient|pinned system memory|"
    "ERROR: Failed to create instance:|failed to load all models"
)
# What its exporter of traces writes; the line with a count of spans follows on one that says why.
_EXPORTER = re.compile(r"^\[(?:Error|Warning)\] File: .*\[OTLP HTTP Client\] (?:Session state: (.*))?")
_LOCATION = re.compile(r"\n+At:\n\s*(?:\S*/)?([^/\s]+)\((\d+)\): .*", re.DOTALL)

_SHOWN = {"debug": "IWEF", "info": "WEF", "warning": "WEF", "error": "EF", "critical": "EF"}


class TritonLog:
    """The log of one launcher's Tritons, line by line.

    `show` takes each line for the user. A Triton that is started again and fails as before repeats nothing.
    """

    def __init__(self, show: Callable[[str], None], log_level: str = "info") -> None:
        self._show = show
        self._raw = log_level == "debug"
        self._levels = _SHOWN[log_level]
        self._told: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """A Triton starts."""
        self.loading: set[str] = set()  # models whose loading began and did not end
        self.last_error = ""
        self.drained = False  # told to stop, it has answered all that was under way

    def forget(self) -> None:
        """Triton is up: whatever fails from now on is news."""
        self._told.clear()

    def read(self, line: str) -> None:
        """Takes one line without its end."""
        match = _LINE.match(line)
        level, message = (match[1], _unquote(match[2])) if match else ("", line)
        self._note(level, message)
        if self._raw:
            self._show(line)
        elif level:
            if level in self._levels and not _NOISE.search(message):
                self._tell(_shorten(message))
        elif message.startswith("error: creating server:"):
            if "failed to load all models" not in message:
                self.last_error = message.partition(": ")[2]
                self._tell(self.last_error)
        elif exporter := _EXPORTER.match(line):
            if exporter[1] and "E" in self._levels:
                self._tell(f"no traces reach their receiver: {exporter[1]}")
        elif not _CONTINUATION.match(line):
            self._show(line)  # what a step's Python itself wrote

    def _note(self, level: str, message: str) -> None:
        if level == "I":
            if match := re.match(r"loading: (\S+):\d+$", message):
                self.loading.add(match[1])
            elif match := re.match(r"successfully loaded '([^']+)'", message):
                self.loading.discard(match[1])
            elif message.startswith("All models are stopped"):
                self.drained = True
        elif level in ("E", "F") and not _NOISE.search(message):
            self.last_error = _shorten(message)
            if match := re.match(r"failed to load '([^']+)'", message):
                self.loading.discard(match[1])

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._show(f"Triton: {message}")


def _unquote(message: str) -> str:
    message = message.strip()
    if len(message) > 1 and message[0] == message[-1] == '"':
        message = message[1:-1]
    return message.replace(r"\n", "\n").replace(r"\"", '"')


def _shorten(message: str) -> str:
    r"""A Python traceback down to its innermost place; all on one line.

    >>> _shorten("No module named 'x'\n\nAt:\n  /r/toy/1/model.py(1): <module>\n  <frozen importlib>(2): exec")
    "No module named 'x' (model.py, line 1)"
    """
    return re.sub(r"\s*\n\s*", " ", _LOCATION.sub(r" (\1, line \2)", message)).strip()
