"""ASGI middleware: a request must bring one of the API keys."""

import hashlib
import hmac
from collections.abc import Awaitable, Iterable
from http import HTTPStatus

from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.contract import needs_key
from proxy.responses import json_answer, note_failure

_MISSING = "This service asks for an API key: send it as `Authorization: Bearer <key>` or `X-API-Key: <key>`."
_WRONG = "The API key is not one of this service's."


class ApiKeys:
    """Refuses a request without one of `keys` with 401; health, the schema and its pages are open to everyone."""

    def __init__(self, app: ASGIApp, keys: Iterable[SecretStr]) -> None:
        self._app = app
        self._digests = [_digest(key.get_secret_value().encode("ascii")) for key in keys]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes the request on, or refuses it before its body is read."""
        if scope["type"] != "http" or not needs_key(scope["path"]):
            return self._app(scope, receive, send)
        offered = _offered(scope)
        # Every pair is compared, whichever matches.
        matches = [hmac.compare_digest(_digest(key), known) for key in offered for known in self._digests]
        if any(matches):
            return self._app(scope, receive, send)
        sentence = _WRONG if offered else _MISSING
        note_failure(Request(scope), sentence)
        answer = json_answer({"detail": sentence}, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        return answer(scope, receive, send)


def _offered(scope: Scope) -> list[bytes]:
    """The keys of the first header of each of the two names."""
    first: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in (b"authorization", b"x-api-key"):
            first.setdefault(name, value)
    scheme, _, token = first.get(b"authorization", b"").partition(b" ")
    keys = (token.strip() if scheme.lower() == b"bearer" else b"", first.get(b"x-api-key", b"").strip())
    return [key for key in keys if key]


def _digest(key: bytes) -> bytes:
    """Of one length, so that the time of a comparison does not tell a key's."""
    return hashlib.sha256(key).digest()
