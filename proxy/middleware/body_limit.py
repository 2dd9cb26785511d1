"""ASGI middleware: a request body over the limit is refused with 413, however it is sent."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.responses import json_answer, note_failure

_MIB = 1024 * 1024


class BodyLimit:
    """Counts no body whose length is announced: the HTTP parser holds the client to it."""

    def __init__(self, app: ASGIApp, max_mib: int) -> None:
        self._app = app
        self._max_bytes = max_mib * _MIB
        self._sentence = f"The request body is larger than {max_mib} MB."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses, or passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = _announced_length(scope)
        if announced is None:
            await self._read_then_pass(scope, receive, send)
        elif announced > self._max_bytes:
            await self._refuse(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _read_then_pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A body without a length is read here up to the limit, and handed on in one piece."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client is gone: nobody to answer
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                await self._refuse(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        whole: Message | None = {"type": "http.request", "body": bytes(body), "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            message, whole = whole, None
            return message

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The server reads and drops what still comes of the body, and closes."""
        note_failure(Request(scope), self._sentence)
        answer = json_answer({"detail": self._sentence}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"Connection": "close"})
        await answer(scope, receive, send)


def _announced_length(scope: Scope) -> int | None:
    """The Content-Length, unless the body is sent in chunks, which then counts."""
    length = None
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value)
    return length
