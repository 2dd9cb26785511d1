"""Answers to requests that are not valid, as FastAPI gives them, where FastAPI's own would break.

FastAPI's 422 repeats the input. Where the input cannot be written as JSON (a lone surrogate, bytes that are not UTF-8,
nesting past a depth), writing it fails and the client gets a 500. And a body nested so deep that the parser gives up is
a 400 there; to a client it is one more body that is not valid.
"""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from proxy.api.answers import answer_nobody
from proxy.responses import json_answer

# Repeating more than this back helps nobody.
_MAX_ECHO_BYTES = 64 * 1024

_TOO_DEEP = {
    "type": "json_invalid",
    "loc": ["body", 0],
    "msg": "JSON decode error",
    "input": {},
    "ctx": {"error": "Nested too deep"},
}


async def answer_invalid_request(_: Request, error: Exception) -> Response:
    """FastAPI's 422, with the input left out where it cannot be written or is long."""
    assert isinstance(error, RequestValidationError)
    return json_answer({"detail": [_writable(item) for item in error.errors()]}, HTTPStatus.UNPROCESSABLE_ENTITY)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """FastAPI's own answer, but 422 where its 400 was for a body nested too deep, and 499 where the client left.

    A 405 names HEAD beside GET.
    """
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ClientDisconnect):  # in the middle of its body
        return await answer_nobody(request, error)
    if isinstance(error.__cause__, RecursionError):
        return json_answer({"detail": [_TOO_DEEP]}, HTTPStatus.UNPROCESSABLE_ENTITY)
    if error.headers and error.headers.get("Allow") == "GET":
        error.headers = {**error.headers, "Allow": "GET, HEAD"}  # the routes know nothing of HEAD, which is answered
    return await http_exception_handler(request, error)


def install_invalid_request_answers(app: FastAPI) -> None:
    """In place of FastAPI's handlers of the same errors."""
    app.add_exception_handler(RequestValidationError, answer_invalid_request)
    app.add_exception_handler(HTTPException, answer_http_exception)


def _writable(item: dict[str, Any]) -> dict[str, Any]:
    """One error of pydantic's, with everything in it that JSON can hold.

    >>> _writable({"type": "missing", "loc": ("body", "text"), "msg": "Field required", "input": {"x": "\\ud800"}})
    {'type': 'missing', 'loc': ['body', 'text'], 'msg': 'Field required'}
    """
    kept: dict[str, Any] = {"type": item["type"], "loc": list(item["loc"]), "msg": item["msg"]}
    for name in ("input", "ctx"):
        if name not in item:
            continue
        value = item[name]
        if isinstance(value, bytes):  # a body that was not taken for JSON
            value = value[: _MAX_ECHO_BYTES + 1].decode("utf-8", "replace")
        try:
            written = orjson.dumps(value, default=str)
        except TypeError:
            continue
        if len(written) <= _MAX_ECHO_BYTES:
            kept[name] = orjson.Fragment(written)
    return kept
