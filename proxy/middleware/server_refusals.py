"""What the server refuses before the application sees it, told as the application's own refusals are."""

from collections.abc import Callable, Collection

from proxy.middleware.access_log import log_refusal
from proxy.middleware.observe import route_of
from proxy.refusals import Refusal
from proxy.telemetry.metrics import Metrics


class ServerRefusals:
    """The server's `Refusals`: each is counted and has a line in the log.

    `paths`: those that are labels. `write`: the body for a path, a status and a sentence.
    """

    def __init__(self, metrics: Metrics, paths: Collection[str], write: Callable[[str, int, str], bytes]) -> None:
        self._metrics = metrics
        self._paths = frozenset(paths)
        self._write = write

    def body(self, refusal: Refusal, url: bytes) -> bytes:
        """The JSON of the answer."""
        return self._write(_path(url), int(refusal.status), refusal.sentence)

    def refused(self, refusal: Refusal, method: str, url: bytes, seconds: float) -> None:
        """Counts the refusal under its route, and logs it."""
        self._metrics.answered(route_of(_path(url), self._paths), int(refusal.status), seconds, None, False)
        log_refusal(refusal, method, url, seconds)


def _path(url: bytes) -> str:
    return url.split(b"?", 1)[0].decode("ascii", "replace")
