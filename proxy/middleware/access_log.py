"""ASGI middleware: one log line for each request. Never a text, nor a query string that might hold one."""

import logging
import time
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.contract import LIVE, METRICS
from proxy.refusals import REFUSAL, Refusal
from proxy.responses import CLIENT_CLOSED_REQUEST

LOG = logging.getLogger("proxy.access")

# Asked again and again by what watches the service, and never about anything that went wrong.
_QUIET_PATHS = frozenset({LIVE, METRICS})

_MAX_PATH_CHARACTERS = 200

# What an address is made of; anything else in one is written as %XX.
_URL = "%/:?#[]@!$&'()*+,;="

# Clients give up after seconds. To ask the server whether they did costs time, which a short request need not pay.
_PATIENT_SECONDS = 0.5


class AccessLog:
    """Method, path, status, milliseconds, number of texts, and what failed or that the client had left.

    The number of texts and the failure's sentence come from `request.state.text_count` and `request.state.failure`.
    """

    def __init__(self, app: ASGIApp, patient_seconds: float = _PATIENT_SECONDS) -> None:
        self._app = app
        self._patient_seconds = patient_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, and logs it when it is over, however it ends."""
        if scope["type"] != "http" or not LOG.isEnabledFor(_level(scope)):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status: int | None = None
        body_read = client_left = False

        async def watch_receive() -> Message:
            nonlocal body_read, client_left
            message = await receive()
            if message["type"] == "http.disconnect":
                client_left = True
            elif not message.get("more_body", False):
                body_read = True
            return message

        async def watch_send(message: Message) -> None:
            nonlocal status, client_left
            if message["type"] == "http.response.start":
                status = message["status"]
                # A server drops the answer to a client that is gone without a word. Only once the whole body is
                # read: to ask before would tell a client that waits with "Expect: 100-continue" to send it.
                if body_read and not client_left and time.perf_counter() - started > self._patient_seconds:
                    client_left = await Request(scope, receive).is_disconnected()
            await send(message)

        try:
            await self._app(scope, watch_receive, watch_send)
        finally:
            if status is None and client_left:
                status = CLIENT_CLOSED_REQUEST
            fields = _fields(scope, status, (time.perf_counter() - started) * 1000, client_left)
            LOG.log(_level(scope), "%s", _sentence(fields), extra={"fields": fields})


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
    parts = [fields["method"], fields["path"], str(fields["status"] or "-"), f"{fields['milliseconds']:.1f} ms"]
    if fields["texts"] is not None:
        parts.append(f"{fields['texts']} text{'' if fields['texts'] == 1 else 's'}")
    line = " ".join(parts)
    if fields.get("client_left"):
        line += ", the client had left"
    if "failure" in fields:
        line += f": {fields['failure']}"
    return line
