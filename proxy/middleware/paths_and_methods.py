"""ASGI middleware: addresses with a slash too many are the route's own, and `HEAD` is `GET` without the body.

A redirect in their place would lead to the host that the client's `Host` names, and lose a reverse proxy's prefix.
"""

import re
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SLASHES = re.compile("/{2,}")


class ExtraSlashes:
    """Passes `/health/` and `//health` on as `/health`; outside of all that looks at the path. `raw_path` stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes the request on."""
        if scope["type"] == "http" and (scope["path"].endswith("/") or "//" in scope["path"]):
            scope["path"] = without_extra_slashes(scope["path"])
        return self._app(scope, receive, send)


def without_extra_slashes(path: str) -> str:
    """
    >>> without_extra_slashes("//api/v1//embed/"), without_extra_slashes("///")
    ('/api/v1/embed', '/')
    """
    return _SLASHES.sub("/", path).rstrip("/") or "/"


class HeadAsGet:
    """Answers `HEAD` with the head of the answer to `GET`; inside of what logs and counts the method."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes the request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return self._app(scope, receive, send)
        return self._head(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        def without_body(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            return send(message)

        scope["method"] = "GET"
        try:
            await self._app(scope, receive, without_body)
        finally:
            scope["method"] = "HEAD"
