"""ASGI middleware: which browser origins may ask."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send


class CrossOrigin(CORSMiddleware):
    """Starlette's, with less work for a request that has no `Origin`: its answer is only marked as one of several."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers a preflight."""
        if scope["type"] != "http" or any(name == b"origin" for name, _ in scope["headers"]):
            await super().__call__(scope, receive, send)
            return

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _varying(message.get("headers", ()))
            await send(message)

        await self.app(scope, receive, mark)


def _varying(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """
    >>> _varying([(b"vary", b"Accept"), (b"a", b"b")]), _varying([])
    ([(b'a', b'b'), (b'vary', b'Accept, Origin')], [(b'vary', b'Origin')])
    """
    before = [value for name, value in headers if name == b"vary"]
    others = [header for header in headers if header[0] != b"vary"] if before else headers
    return [*others, (b"vary", b", ".join([*before, b"Origin"]))]
