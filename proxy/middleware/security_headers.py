"""ASGI middleware: what browsers are told about every answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),  # an answer holds what was made of somebody's text
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),  # pages have one of their own
)


class SecurityHeaders:
    """Adds the headers, where the answer has none of that name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                names = {name.lower() for name, _ in headers}
                message["headers"] = headers + [header for header in _ALWAYS if header[0] not in names]
            await send(message)

        await self._app(scope, receive, add)
