"""The log's line for a request: never a text, nor a query string that might hold one."""

import logging
from typing import Any
from urllib.parse import quote

from starlette.types import Scope

from proxy.contract import LIVE, METRICS
from proxy.refusals import REFUSAL, Refusal
from proxy.responses import CLIENT_CLOSED_REQUEST

LOG = logging.getLogger("proxy.access")

# Asked again and again by what watches the service, and never about anything that went wrong.
_QUIET_PATHS = frozenset({LIVE, METRICS})

_MAX_PATH_CHARACTERS = 200

# What an address is made of; anything else in one is written as %XX.
_URL = "%/:?#[]@!$&'()*+,;="


def is_logged(scope: Scope) -> bool:
    """Whether this request gets a line at the log's level."""
    return LOG.isEnabledFor(_level(scope))


def log_request(scope: Scope, status: int | None, seconds: float, client_left: bool) -> None:
    """Method, path, status, milliseconds, number of texts, and what failed or that the client had left.

    The number of texts and the failure's sentence come from `request.state.text_count` and `request.state.failure`.
    `status`: None where no answer was begun, or the client did not read it to its end.
    """
    if status is None and client_left:
        status = CLIENT_CLOSED_REQUEST
    fields = _fields(scope, status, seconds * 1000, client_left)
    # Made here, since `LOG.log` looks through the stack for its caller, which no format shows.
    record = logging.LogRecord(LOG.name, _level(scope), "", 0, _sentence(fields), (), None)
    record.fields = fields
    LOG.handle(record)


def _level(scope: Scope) -> int:
    return logging.DEBUG if scope["path"] in _QUIET_PATHS else logging.INFO


def _fields(scope: Scope, status: int | None, milliseconds: float, client_left: bool) -> dict[str, Any]:
    state = scope.get("state", {})
    if (refusal := state.get(REFUSAL)) is not None:  # the server's own, in place of the application's answer
        return _refused(scope["method"], _path(scope), refusal, milliseconds)
    fields = {
        "method": scope["method"],
        "path": _path(scope),
        "status": status,
        "milliseconds": round(milliseconds, 1),
        "texts": state.get("text_count"),
    }
    if client_left:
        fields["client_left"] = True
    if "failure" in state:
        fields["failure"] = state["failure"]
    return fields


def log_refusal(refusal: Refusal, method: str, url: bytes, seconds: float) -> None:
    """The line of a request that the server refused before the application saw it.

    `method` and `url` are empty where they are not known.
    """
    fields = _refused(method or "-", _shown(quote(url, safe=_URL)) or "-", refusal, seconds * 1000)
    LOG.info("%s", _sentence(fields), extra={"fields": fields})


def _refused(method: str, path: str, refusal: Refusal, milliseconds: float) -> dict[str, Any]:
    return {
        "method": method,
        "path": path,
        "status": int(refusal.status),
        "milliseconds": round(milliseconds, 1),
        "texts": None,
        "failure": refusal.sentence,
    }


def _path(scope: Scope) -> str:
    """As it was sent, still percent-encoded: a decoded line break would forge a line."""
    raw = scope.get("raw_path")
    return _shown(raw.decode("ascii", "backslashreplace") if raw is not None else quote(scope["path"]))


def _shown(url: str) -> str:
    return url.split("?", 1)[0][:_MAX_PATH_CHARACTERS]


def _sentence(fields: dict[str, Any]) -> str:
    """
    >>> _sentence({"method": "POST", "path": "/api/v1/embed", "status": 200, "milliseconds": 9.1, "texts": 1})
    'POST /api/v1/embed 200 9.1 ms 1 text'
    """
    line = f"{fields['method']} {fields['path']} {fields['status'] or '-'} {fields['milliseconds']:.1f} ms"
    if (texts := fields["texts"]) is not None:
        line += f" {texts} text{'' if texts == 1 else 's'}"
    if fields.get("client_left"):
        line += ", the client had left"
    if "failure" in fields:
        line += f": {fields['failure']}"
    return line
