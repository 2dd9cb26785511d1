"""Answers over HTTP: JSON, and the one table of which failure has which status."""

import logging
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.errors import (
    DeadlineExceeded,
    EmbeddingError,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    InvalidText,
    ServiceFull,
    UnexpectedModel,
    UnknownOutput,
)

LOG = logging.getLogger("proxy")

STATUSES: dict[type[EmbeddingError], HTTPStatus] = {
    EngineUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    EngineOverloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    UnexpectedModel: HTTPStatus.SERVICE_UNAVAILABLE,
    ServiceFull: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    EngineFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    UnknownOutput: HTTPStatus.INTERNAL_SERVER_ERROR,
    InvalidText: HTTPStatus.UNPROCESSABLE_ENTITY,
    EmbeddingError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

# nginx's own, for the log and the metrics: the client left before it was answered.
CLIENT_CLOSED_REQUEST = 499

# Triton takes seconds to come back; a client that asks each second finds it soon, and does no harm until then.
_RETRY_AFTER = {"Retry-After": "1"}

_UNEXPECTED = "The service failed on the request; the reason is in its log."


def json_answer(content: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    """Anything that JSON can hold, float32 arrays included: those are written with the digits that float32 has."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    # int: Python 3.10 writes an HTTPStatus by its name, in a log line too.
    return Response(body, status_code=int(status), headers=headers, media_type="application/json")


def failure(sentence: str, status: int) -> Response:
    """The JSON object of every failure but a request that is not valid."""
    headers = _RETRY_AFTER if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return json_answer({"detail": sentence}, status, headers)


async def answer_embedding_error(request: Request, error: Exception) -> Response:
    """Status and body of a domain error; its sentence goes into the request's log line, too."""
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    request.state.failure = str(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        LOG.error("%s", error, exc_info=error)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return json_answer({"detail": [{"type": "value_error", "loc": ["body"], "msg": str(error)}]}, status)
    return failure(str(error), status)


async def answer_nobody(_: Request, __: Exception) -> Response:
    """The client is gone; what is sent is dropped by the server, and the status is for the log (nginx's own for it)."""
    return failure("The client hung up.", CLIENT_CLOSED_REQUEST)


def install_error_answers(app: FastAPI) -> None:
    """Every `EmbeddingError` that leaves an endpoint gets its answer."""
    app.add_exception_handler(EmbeddingError, answer_embedding_error)
    app.add_exception_handler(ClientDisconnect, answer_nobody)


class LastResort:
    """ASGI middleware: whatever nobody expected is a traceback in the log and one sentence for the client.

    Starlette's own would answer outside of CORS, and hand the error on to be logged once more.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, and answers it when that fails before an answer has begun."""
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            if started or scope["type"] != "http":
                raise
            LOG.exception("unexpected error")
            await failure(_UNEXPECTED, HTTPStatus.INTERNAL_SERVER_ERROR)(scope, receive, send)
