"""JSON responses, and the note of what failed: for every layer that answers a request."""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

# The client hung up before its answer began, or did not read it. nginx's own status, for logs and metrics alone.
CLIENT_CLOSED_REQUEST = 499
# In the state of a request whose answer the client does not read as fast as it is written: the server's future. It is
# done when the client has read nearly all of it (False), or never will (True).
UNREAD = "unread"

# Triton takes seconds to come back; a client that asks each second finds it soon, and does no harm until then.
_RETRY_AFTER = {"Retry-After": "1"}


def json_answer(content: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    """Anything that JSON can hold, float32 arrays included: those are written with the digits that float32 has."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    # int: Python 3.10 writes an HTTPStatus by its name, in a log line too.
    return Response(body, status_code=int(status), headers=headers, media_type="application/json")


def failure(sentence: str, status: int) -> Response:
    """The JSON object of every failure but a request that is not valid."""
    headers = _RETRY_AFTER if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return json_answer({"detail": sentence}, status, headers)


def note_failure(request: Request, sentence: str, kind: type[Exception] | None = None) -> None:
    """Keeps what failed in `request.state`: the sentence for the log, the kind of error for the metrics."""
    request.state.failure = sentence
    request.state.failure_kind = kind
