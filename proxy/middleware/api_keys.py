"""API keys: where they are read from, and the ASGI middleware that asks for one."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.api.answers import json_answer
from proxy.api.docs.described_errors import KEYS
from proxy.api.openai_errors import OPENAI_KEYS
from proxy.api.openai_errors import PREFIX as OPENAI

# What a header carries as it is: visible ASCII. A comma would end a key of API_KEYS.
_KEY = re.compile(r"[!-+\--~]+")

# What tells nothing that the README does not: the schema, and the pages that show it with what these load.
_OPEN_PATHS = frozenset({"/health", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
_OPEN_PREFIXES = ("/health/", "/docs/assets/")

_MISSING = "This service asks for an API key: send it as `Authorization: Bearer <key>` or `X-API-Key: <key>`."
_WRONG = "The API key is not one of this service's."


def parse_keys(written: Iterable[str]) -> tuple[SecretStr, ...]:
    """Raises `ValueError`, which never repeats a key, for none at all and for one that no header can carry."""
    keys = [key.strip() for key in written]
    if not keys or "" in keys:
        raise ValueError("should have a key in each place, and has an empty one")
    if not all(map(_KEY.fullmatch, keys)):
        raise ValueError("should have keys of visible ASCII characters, without spaces and commas, which headers carry")
    return tuple(map(SecretStr, keys))


def read_key_file(path: Path) -> tuple[SecretStr, ...]:
    """One key a line; blank lines are none. Raises `ValueError` as `parse_keys`, and for a file that cannot be read."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise ValueError(f"should be a file that can be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError("should name a file with keys of visible ASCII characters") from None
    written = [line for line in lines if line.strip()]
    if not written:
        raise ValueError("should name a file with at least one key, one a line")
    return parse_keys(written)


class ApiKeys:
    """Refuses a request without one of `keys` with 401; health, the schema and its pages are open to everyone."""

    def __init__(self, app: ASGIApp, keys: Iterable[SecretStr]) -> None:
        self._app = app
        self._digests = [_digest(key.get_secret_value().encode("ascii")) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it before its body is read."""
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS or scope["path"].startswith(_OPEN_PREFIXES):
            await self._app(scope, receive, send)
            return
        offered = _offered(scope)
        # Every pair is compared, whichever matches.
        matches = [hmac.compare_digest(_digest(key), known) for key in offered for known in self._digests]
        if any(matches):
            await self._app(scope, receive, send)
            return
        sentence = _WRONG if offered else _MISSING
        Request(scope).state.failure = sentence
        answer = json_answer({"detail": sentence}, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        await answer(scope, receive, send)


def describe_keys(app: FastAPI) -> None:
    """Adds both headers to the schema, and with them the button "Authorize" to Swagger UI."""
    make_schema = app.openapi

    def openapi() -> dict[str, Any]:
        schema = make_schema()
        schema["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "A key as `Authorization: Bearer <key>`."},
            "header": {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": "The same key in a header of its own.",
            },
        }
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                if path not in _OPEN_PATHS and not path.startswith(_OPEN_PREFIXES):
                    operation["security"] = [{"bearer": []}, {"header": []}]
                    operation["responses"].update(OPENAI_KEYS if path.startswith(OPENAI) else KEYS)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


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
