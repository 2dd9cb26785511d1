"""ASGI middleware: which browser origins may ask."""

from collections.abc import Awaitable, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class CrossOrigin:
    """Starlette's, with less work for a request that has no `Origin`: its answer is only marked as one of several."""

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: Sequence[str],
        allow_credentials: bool = False,
        allow_methods: Sequence[str] = ("GET",),
        allow_headers: Sequence[str] = (),
    ) -> None:
        """The options are those of `CORSMiddleware`."""
        self._app = app
        self._of_browsers = CORSMiddleware(app, allow_origins, allow_methods, allow_headers, allow_credentials)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes the request on, or answers a preflight."""
        if scope["type"] != "http" or b"origin" in dict(scope["headers"]):
            return self._of_browsers(scope, receive, send)

        def mark(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = _varying(message.get("headers", ()))
            return send(message)

        return self._app(scope, receive, mark)


def _varying(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """
    >>> _varying([(b"vary", b"Accept"), (b"a", b"b")]), _varying([])
    ([(b'a', b'b'), (b'vary', b'Accept, Origin')], [(b'vary', b'Origin')])
    """
    before = [value for name, value in headers if name == b"vary"]
    if not before:
        return [*headers, (b"vary", b"Origin")]
    others = [header for header in headers if header[0] != b"vary"]
    return [*others, (b"vary", b", ".join([*before, b"Origin"]))]
