"""How log lines look: plain text, or one JSON object each."""

import logging
import sys
import time
from datetime import datetime, timezone
from typing import Any

import orjson


class TextLines(logging.Formatter):
    """`2025-01-31 12:00:00,000 INFO proxy.access POST /api/v1/embed 200 9.1 ms 1 text`."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._written = ""  # the date and time of this second

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line without a traceback."""
        return f"{self.formatTime(record)} {record.levelname} {record.name} {record.message}"

    def usesTime(self) -> bool:  # noqa: N802
        """No: `formatMessage` asks for it."""
        return False

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002
        """The time as `logging` writes it; lines of one second share the work."""
        second = int(record.created)
        if second != self._second:
            written = time.strftime(self.default_time_format, time.localtime(second))
            self._second, self._written = second, written
        return f"{self._written},{int(record.msecs):03d}"


class JsonLines(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, and the fields of an access line as they are."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, a traceback as one string in it."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure_logging(level: str, line_format: str) -> None:
    """One handler on standard error for everything in the process, uvicorn's own lines included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if line_format == "json" else TextLines())
    # No line shows these, and each record would ask for them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
