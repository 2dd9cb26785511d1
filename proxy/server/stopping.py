"""ASGI middleware: while the service stops, a request gets one sentence in place of a connection that is cut."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.responses import failure, note_failure

# In the state that the server hands each request, from the moment at which it is told to stop.
STOPPING = "stopping"

_SENTENCE = "The service is stopping."


class Stopping:
    """503 for a request that comes while the server stops, and for one that is cancelled: the server alone does that,
    when the time for what was under way is over."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope.get("state", {}).get(STOPPING):
            await _answer(scope, receive, send)
            return
        started = False

        def watch(message: Message) -> Awaitable[None]:
            nonlocal started
            started = True
            return send(message)

        try:
            await self._app(scope, receive, watch)
        except asyncio.CancelledError:
            if started:
                raise
            await _answer(scope, receive, send)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    note_failure(Request(scope), _SENTENCE)
    await failure(_SENTENCE, HTTPStatus.SERVICE_UNAVAILABLE)(scope, receive, send)
