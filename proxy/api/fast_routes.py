"""ASGI middleware, the innermost: answers well-formed requests for vectors without FastAPI's share of their time.

Under more load than the service can carry most requests are refused, and what each of them costs is taken from those
that are not: what has no room is refused here, too, as soon as it is parsed.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.api.disconnects import unless_disconnected
from proxy.api.embed import embed_text, embed_texts
from proxy.api.openai import OpenAIEmbeddings
from proxy.api.request_time import deadline_in
from proxy.api.schemas.typed import EmbeddingsQuery, TextQuery, TextsQuery
from proxy.contract import EMBED, EMBED_BATCH, EMBEDDINGS, MAX_INPUTS
from proxy.embedding.admission import FULL, AdmittingEmbedder
from proxy.embedding.base import Embedder
from proxy.embedding.cache import CachingEmbedder
from proxy.errors import ServiceFull

# Media types that are surely JSON, and in UTF-8, to FastAPI, too.
_JSON = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
# A time that is surely one, and not zero, to pydantic, too.
_SECONDS = re.compile(rb"[1-9][0-9]{0,8}(\.[0-9]{1,9})?|0\.[0-9]{0,8}[1-9]")
_HEADERS = frozenset({b"content-type", b"x-request-timeout"})

# A typed list is built before its items are counted. A body of fewer bytes has no more of them than can be afforded;
# in a longer one the quotation marks tell, which every string has two of.
_SHORT_BODY = 64 * 1024
_MOST_QUOTES = 4 * MAX_INPUTS

_Handler = Callable[[Request, Any], Response | Awaitable[Response]]


@dataclass(frozen=True)
class _Route:
    parse: Callable[[bytes], Any]
    count: Callable[[Any], int]  # the texts of a query
    answer: Callable[[Any, float], Coroutine[Any, Any, Any]]  # what JSON to write, by a deadline
    texts: Callable[[Any], list[str]] | None  # those which one call to the embedder is for; None where it may be more


class FastRoutes:
    """Handles only well-formed requests; passes everything else to FastAPI, which gives the precise error."""

    def __init__(
        self,
        app: ASGIApp,
        embedder: Embedder,
        openai: OpenAIEmbeddings,
        deadline_seconds: float,
        handlers: Mapping[Any, _Handler],
        admitting: AdmittingEmbedder | None,
        cache: CachingEmbedder | None,
    ) -> None:
        """`handlers`: of the application's errors, by their class."""
        self._app = app
        self._deadline_seconds = deadline_seconds
        self._handlers = handlers
        self._admitting = admitting
        self._cache = cache
        self._routes = {
            EMBED: _Route(
                msgspec.json.Decoder(TextQuery).decode,
                lambda _: 1,
                lambda query, until: embed_text(embedder, query, until),
                lambda query: [query.text],
            ),
            EMBED_BATCH: _Route(
                msgspec.json.Decoder(TextsQuery).decode,
                lambda query: len(query.texts),
                lambda query, until: embed_texts(embedder, query, until),
                lambda query: query.texts,
            ),
            EMBEDDINGS: _Route(
                msgspec.json.Decoder(EmbeddingsQuery).decode,
                lambda query: len(query.inputs),
                lambda query, until: openai.answer(query, query.inputs, until),
                None,
            ),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request, or passes it on with its body. The body must be bounded."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        fits, seconds = _read_headers(scope) if route is not None else (False, None)
        if route is None or not fits:
            await self._app(scope, receive, send)
            return
        first = await receive()
        messages = [first]
        while messages[-1].get("more_body", False):
            messages.append(await receive())
        query = _parse(route, messages)
        if query is None:
            messages.reverse()

            async def replay() -> Message:
                return messages.pop() if messages else await receive()

            await self._app(scope, replay, send)
            return
        messages.clear()
        scope.setdefault("state", {})["text_count"] = route.count(query)
        try:
            self._refuse_without_room(route, query)
            work = route.answer(query, deadline_in(seconds, self._deadline_seconds))
            content = await unless_disconnected(receive, work)
        except Exception as error:
            await self._answer_error(error, scope, receive, send)
            return
        body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _refuse_without_room(self, route: _Route, query: Any) -> None:
        """Raises `ServiceFull` where the embedder would, before anything is begun."""
        admitting = self._admitting
        if admitting is None or route.texts is None or query.truncate == "left":
            return
        texts, free = route.texts(query), admitting.free
        if len(texts) <= free:
            return
        if self._cache is None or self._cache.missing(texts, query.normalize) > free:
            raise ServiceFull(FULL)

    async def _answer_error(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        """As the application answers it; raises the error where that has no answer."""
        handler = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
        if handler is None:
            raise error
        answer = handler(Request(scope), error)
        await (answer if isinstance(answer, Response) else await answer)(scope, receive, send)


def _read_headers(scope: Scope) -> tuple[bool, float | None]:
    """Whether the body is surely JSON and the time that the client gives is surely one, and that time in seconds."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _HEADERS:
            if name in found:
                return False, None
            found[name] = value
    content_type, seconds = found.get(b"content-type"), found.get(b"x-request-timeout")
    if content_type is not None and content_type.lower() not in _JSON:
        return False, None
    if seconds is None:
        return True, None
    return (True, float(seconds)) if _SECONDS.fullmatch(seconds) else (False, None)


def _parse(route: _Route, messages: list[Message]) -> Any:
    """The query of a body that FastAPI surely takes; None for any other, and where the client left."""
    if messages[-1]["type"] != "http.request":
        return None
    body = messages[0].get("body", b"")
    if len(messages) > 1:
        body = b"".join(message.get("body", b"") for message in messages)
        # One copy of it is enough, whoever parses it.
        messages[:] = [{"type": "http.request", "body": body, "more_body": False}]
    if len(body) > _SHORT_BODY and body.count(b'"') > _MOST_QUOTES:
        return None
    try:
        return route.parse(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
