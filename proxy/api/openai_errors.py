"""OpenAI's error object in place of `{"detail": …}`, for every failure under `/v1/`: the one place that makes it."""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.api.docs.described_errors import ANYWHERE, DEADLINE, KEYS, Responses
from proxy.api.schemas.openai import OpenAIErrorResponse
from proxy.api.truncation import TOO_MANY_TOKENS

PREFIX = "/v1/"

# https://platform.openai.com/docs/guides/error-codes: what its clients branch on beside the status.
_CODES: dict[int, str] = {HTTPStatus.UNAUTHORIZED: "invalid_api_key"}
_CODES_BY_KIND = {TOO_MANY_TOKENS: "context_length_exceeded"}


def openai_error(status: int, detail: Any) -> tuple[int, dict[str, Any]]:
    """Status and body for `{"detail": detail}`: a sentence, FastAPI's list, or the error's own fields.

    >>> status, body = openai_error(422, [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}])
    >>> status, body["error"]["message"]
    (400, 'model: Field required')
    """
    error: dict[str, Any] = {
        "message": "",
        "type": "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error",
        "param": None,
        "code": _CODES.get(status),
    }
    if isinstance(detail, dict):
        error |= detail
    elif isinstance(detail, list):
        status = HTTPStatus.BAD_REQUEST
        error |= _first(detail)
    else:
        error["message"] = str(detail)
    return int(status), {"error": error}


def error_body(path: str, status: int, sentence: str) -> bytes:
    """The body of a failure that is answered outside of `OpenAIErrors`.

    >>> error_body("/api/v1/embed", 408, "Too slow.")
    b'{"detail":"Too slow."}'
    """
    return orjson.dumps(openai_error(status, sentence)[1] if path.startswith(PREFIX) else {"detail": sentence})


def _first(invalid: list[dict[str, Any]]) -> dict[str, Any]:
    """OpenAI's object has room for one thing that is not valid."""
    item = invalid[0]
    _, *where = item["loc"]
    # Of JSON that is broken, the place is a number of characters.
    if not where or not isinstance(where[0], str):
        return {"message": item["msg"]}
    name = where[0] + "".join(f"[{part}]" for part in where[1:] if isinstance(part, int))
    return {
        "message": f"{name}: {item['msg']}",
        "param": where[0],
        "code": _CODES_BY_KIND.get(item["type"]),
    }


class OpenAIErrors:
    """ASGI middleware, outside of all that answers with an error: under `/v1/` it says the same as OpenAI would."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes the request on, and puts OpenAI's object in place of an error's body."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            return self._app(scope, receive, send)
        held: Message | None = None

        async def translate(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
                held = message
                return
            if held is not None:
                # Errors are written in one piece; one that keeps the connection for a while sends it first.
                start, held = held, None
                start, message = _translated(start, message)
                await send(start)
            await send(message)

        return self._app(scope, receive, translate)


def _translated(start: Message, body: Message) -> tuple[Message, Message]:
    try:
        detail = orjson.loads(body.get("body", b""))["detail"]
    except (ValueError, LookupError, TypeError):
        return start, body  # none of ours
    status, error = openai_error(start["status"], detail)
    content = orjson.dumps(error)
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    headers.append((b"content-length", str(len(content)).encode()))
    return {**start, "status": status, "headers": headers}, {**body, "body": content}


def _described(responses: Responses) -> Responses:
    """The same responses with OpenAI's object."""
    described: Responses = {}
    for status, response in responses.items():
        sentence = response["content"]["application/json"]["example"]["detail"]
        example = openai_error(int(status), sentence)[1]
        content = {"application/json": {"example": example}}
        described[status] = {**response, "model": OpenAIErrorResponse, "content": content}
    return described


def _response(status: int | str, description: str, error: tuple[int, dict[str, Any]]) -> Responses:
    content = {"application/json": {"example": error[1]}}
    return {status: {"model": OpenAIErrorResponse, "description": description, "content": content}}


_ELSEWHERE: Responses = {**{status: ANYWHERE[status] for status in (408, 413, 415, 431, 500, 503)}, **DEADLINE}
_INVALID = openai_error(422, [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}])

OPENAI_ANYWHERE: Responses = (
    _described(_ELSEWHERE)
    | _response(400, "The body is not what the operation takes or not UTF-8, or what was sent is not HTTP.", _INVALID)
    # FastAPI would add its own 422 to the schema where there is none and no default.
    | _response("default", "Any other failure.", openai_error(405, "Method Not Allowed"))
)


def model_not_found(asked: str, served: str) -> dict[str, Any]:
    """The `detail` of a 404 for a model that is not served."""
    return {
        "message": f"The model {asked[:200]!r} is not served here: {served!r} is.",
        "param": "model",
        "code": "model_not_found",
    }


OPENAI_MODEL: Responses = _response(
    404,
    "Another model is asked for than the one that is served.",
    openai_error(404, model_not_found("text-embedding-3-small", "paraphrase-multilingual-MiniLM-L12-v2")),
)

_NO_KEY = _described({401: KEYS["401"]})[401]
_NO_KEY["content"]["application/json"]["schema"] = {"$ref": f"#/components/schemas/{_NO_KEY.pop('model').__name__}"}
OPENAI_KEYS: dict[str, dict[str, Any]] = {"401": _NO_KEY}
