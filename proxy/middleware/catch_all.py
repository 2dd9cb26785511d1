"""ASGI middleware: an error that nobody expected is a traceback in the log and one sentence for the client."""

import logging
from collections.abc import Awaitable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.responses import failure

LOG = logging.getLogger("proxy")

_UNEXPECTED = "The service failed on the request; the reason is in its log."


class CatchAll:
    """Answers 500 where an error leaves the application.

    Starlette's own would answer outside of CORS, and hand the error on to be logged once more.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, and answers it when that fails before an answer has begun."""
        started = False

        def watch(message: Message) -> Awaitable[None]:
            nonlocal started
            started = True
            return send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            if started or scope["type"] != "http":
                raise
            LOG.exception("unexpected error")
            await failure(_UNEXPECTED, HTTPStatus.INTERNAL_SERVER_ERROR)(scope, receive, send)
