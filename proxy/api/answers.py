"""The one table of which failure has which status, and the answers to them."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

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
from proxy.responses import CLIENT_CLOSED_REQUEST, failure, json_answer, note_failure

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


async def answer_embedding_error(request: Request, error: Exception) -> Response:
    """Status and body of a domain error; its sentence goes into the request's log line, too."""
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    note_failure(request, str(error), type(error))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        LOG.error("%s", error, exc_info=error)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return json_answer({"detail": [{"type": "value_error", "loc": ["body"], "msg": str(error)}]}, status)
    return failure(str(error), status)


async def answer_nobody(_: Request, __: Exception) -> Response:
    """The client is gone; what is sent is dropped by the server, and the status is for the log."""
    return failure("The client hung up.", CLIENT_CLOSED_REQUEST)


def install_error_answers(app: FastAPI) -> None:
    """Every `EmbeddingError` that leaves an endpoint gets its answer."""
    app.add_exception_handler(EmbeddingError, answer_embedding_error)
    app.add_exception_handler(ClientDisconnect, answer_nobody)
