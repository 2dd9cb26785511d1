"""Asks for health again and again beside whatever goes on, and keeps how long each answer took and what it said."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PATHS = ("/health", "/health/ready")
INTERVAL_SECONDS = 0.1
LONGEST_SECONDS = 0.1  # that an answer may take, under any load
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Probe:
    """One answer."""

    path: str
    asked: float  # monotonic seconds
    seconds: float
    status: int  # 0 where there was none


@dataclass
class Probes:
    """All answers, in order; read it when the block of `probing` is over."""

    answers: list[Probe] = field(default_factory=list)

    def statuses(self) -> dict[int, int]:
        """How many answers had which status."""
        return dict(Counter(probe.status for probe in self.answers))

    def slow(self, seconds: float = LONGEST_SECONDS) -> list[Probe]:
        """Those that took longer."""
        return [probe for probe in self.answers if probe.seconds > seconds]

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "answers": len(self.answers),
            "statuses": {str(status): count for status, count in sorted(self.statuses().items())},
            "slower_than_seconds": LONGEST_SECONDS,
            "slow": len(self.slow()),
            "longest_seconds": max((probe.seconds for probe in self.answers), default=None),
        }


@contextmanager
def probing(url: str, interval_seconds: float = INTERVAL_SECONDS) -> Iterator[Probes]:
    """Asks each of `PATHS` of the proxy at `url` every `interval_seconds` while the block runs, from a thread.

    A new connection for each question, as probes make them: its time counts.
    """
    probes, stop = Probes(), threading.Event()
    host = urlsplit(url).netloc

    def run() -> None:
        while not stop.is_set():
            began = time.monotonic()
            for path in PATHS:
                probes.answers.append(_ask(host, path))
            stop.wait(max(0.0, began + interval_seconds - time.monotonic()))

    thread = threading.Thread(target=run, name="health probe")
    thread.start()
    try:
        yield probes
    finally:
        stop.set()
        thread.join()


def _ask(host: str, path: str) -> Probe:
    asked, status = time.monotonic(), 0
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    return Probe(path, asked, time.monotonic() - asked, status)
