"""ASGI middleware: what browsers are told about every answer."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),  # an answer holds what was made of somebody's text
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),  # pages have one of their own
)
_NAMES = frozenset(name for name, _ in _ALWAYS)


class SecurityHeaders:
    """Adds the headers, where the answer has none of that name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes the request on."""

        def add(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                names = {name.lower() for name, _ in headers}
                added = _ALWAYS if names.isdisjoint(_NAMES) else [each for each in _ALWAYS if each[0] not in names]
                message["headers"] = [*headers, *added]
            return send(message)

        return self._app(scope, receive, add)
