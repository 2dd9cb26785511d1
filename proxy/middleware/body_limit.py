"""ASGI middleware: a request body over the limit is refused with 413, however it is sent; and with 503, where the
bodies in hand leave no room for it."""

from collections.abc import Awaitable
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.middleware.bodies_in_hand import UNCOUNTED_BYTES, BodiesInHand, NoRoom, Share, refuse
from proxy.responses import json_answer, note_failure

_MIB = 1024 * 1024


class BodyLimit:
    """Reads a large body, and one whose length is not announced, and hands it on in one piece.

    Counts no small body whose length is announced: the HTTP parser holds the client to it.
    """

    def __init__(self, app: ASGIApp, max_mib: int, bodies: BodiesInHand) -> None:
        self._app = app
        self._max_bytes = max_mib * _MIB
        self._sentence = f"The request body is larger than {max_mib} MB."
        self._bodies = bodies

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Refuses, or passes the request on."""
        announced = _announced_length(scope) if scope["type"] == "http" else 0
        if announced is not None and announced <= UNCOUNTED_BYTES:
            return self._app(scope, receive, send)
        if announced is not None and announced > self._max_bytes:
            return self._refuse(scope, receive, send)
        if announced is not None and not self._bodies.has_room(announced):
            return refuse(scope, receive, send)
        return self._count(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._bodies.share() as share:
            await self._read_then_pass(share, scope, receive, send)

    async def _read_then_pass(self, share: Share, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client is gone: nobody to answer
            body += message.get("body", b"")
            try:
                share.hold(len(body))
            except NoRoom:
                body.clear()
                await refuse(scope, receive, send)
                return
            if len(body) > self._max_bytes:
                body.clear()
                await self._refuse(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        whole: Message | None = {"type": "http.request", "body": bytes(body), "more_body": False}
        del body

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
    """The Content-Length, 0 without a body, and None for a body that is sent in chunks, which then counts."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value)
    return length
