"""What the OpenAPI schema says of each error: README's table "Errors", as the responses of operations."""

from typing import Any

from proxy.api.schemas.embed import ErrorResponse, HTTPValidationError
from proxy.refusals import UNKNOWN_CHARSET, UNKNOWN_CODING
from proxy.server.http_limits import LARGE_HEAD, SLOW_BODY, SLOW_HEAD

Responses = dict[int | str, dict[str, Any]]


def _error(description: str, sentence: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """A response with one sentence; `headers` are those that come with it, and what they mean."""
    return {
        "model": ErrorResponse,
        "description": description,
        "content": {"application/json": {"example": {"detail": sentence}}},
        "headers": {
            name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in (headers or {}).items()
        },
    }


_CLOSE = {"Connection": "`close`: no further request is read from this connection."}
_CODINGS = {"Accept-Encoding": "With a Content-Encoding that is not supported: those that are."}
_RETRY = {"Retry-After": "Seconds after which to ask again; 1, as a rule."}

# Whatever is asked for: some of these are given before the route is known.
ANYWHERE: Responses = {
    400: _error(
        "The body is not UTF-8 or not what its Content-Encoding says, or what was sent is not HTTP.",
        "There was an error parsing the body",
    ),
    408: _error(f"{SLOW_HEAD.sentence} {SLOW_BODY.sentence}", SLOW_HEAD.sentence, _CLOSE),
    413: _error(
        "The body is larger than the limit, counted after decoding.", "The request body is larger than 20 MB.", _CLOSE
    ),
    415: _error(f"{UNKNOWN_CODING.sentence} {UNKNOWN_CHARSET.sentence}", UNKNOWN_CODING.sentence, _CODINGS),
    431: _error(LARGE_HEAD.sentence, LARGE_HEAD.sentence, _CLOSE),
    500: _error(
        "Anything else that failed; the reason is in the service's log.",
        "The service failed on the request; the reason is in its log.",
    ),
    503: _error(
        "The engine is not ready, away or overloaded, or serves another model than the one that is wanted; "
        "or as many connections are open, texts or large bodies in hand as the service takes. Asking again may help.",
        "The engine is not there or not ready yet.",
        _RETRY,
    ),
}

# Where the engine is asked for something.
DEADLINE: Responses = {504: _error("The deadline passed.", "The engine did not answer in time.")}

# Where a body is taken.
BODY: Responses = {
    422: {
        "model": HTTPValidationError,
        "description": "The body is not what the operation takes: not JSON, a missing field, a wrong type, "
        "a limit passed, a lone surrogate.",
    }
}

# Where API keys are asked for. This goes into a schema that is made already, in which a model is a reference.
_NO_KEY = _error(
    "No API key, or a wrong one.",
    "The API key is not one of this service's.",
    {"WWW-Authenticate": "`Bearer`: the scheme to send a key with."},
)
_NO_KEY["content"]["application/json"]["schema"] = {"$ref": f"#/components/schemas/{_NO_KEY.pop('model').__name__}"}
KEYS: dict[str, dict[str, Any]] = {"401": _NO_KEY}
