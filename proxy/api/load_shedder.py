"""ASGI middleware: an embed request for which there is no room is refused before FastAPI takes it apart.

Under more load than the service can carry most requests are refused, and what each of them costs is taken from those
that are not: FastAPI alone takes longer than all the rest of a refusal.
"""

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.api.answers import answer_embedding_error
from proxy.contract import EMBED, EMBED_BATCH, MAX_TEXT_CHARACTERS, MAX_TEXTS
from proxy.embedding.admission import FULL, AdmittingEmbedder
from proxy.embedding.cache import CachingEmbedder
from proxy.errors import ServiceFull

# Fields whose values are not looked at here.
_OTHERS = {"truncate", "return_tokens"}


class LoadShedder:
    """Handles only well-formed requests; passes everything else to FastAPI, which gives the precise error."""

    def __init__(self, app: ASGIApp, admitting: AdmittingEmbedder, cache: CachingEmbedder | None) -> None:
        self._app = app
        self._admitting = admitting
        self._cache = cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses the request, or passes it on. Its body must be bounded."""
        # Where the largest batch has room there is nothing to look at.
        if self._admitting.free >= MAX_TEXTS or scope["type"] != "http" or scope["path"] not in (EMBED, EMBED_BATCH):
            await self._app(scope, receive, send)
            return
        messages, body = await _read(receive)
        asked = _parse(body, single=scope["path"] == EMBED)
        if asked is not None and self._places(*asked) > self._admitting.free:
            request = Request(scope)
            request.state.text_count = len(asked[0])
            answer = await answer_embedding_error(request, ServiceFull(FULL))
            await answer(scope, receive, send)
            return
        messages.reverse()

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)

    def _places(self, texts: list[str], normalize: bool) -> int:
        return len(texts) if self._cache is None else self._cache.missing(texts, normalize)


async def _read(receive: Receive) -> tuple[list[Message], bytes]:
    messages: list[Message] = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body", False):
            return messages, b"".join(message.get("body", b"") for message in messages)


def _parse(body: bytes, single: bool) -> tuple[list[str], bool] | None:
    """Texts and `normalize` of a body that the route surely takes; None for any other.

    >>> _parse(b'{"text": "a"}', True), _parse(b'{"texts": ["a", "b"], "normalize": false}', False)
    ((['a'], True), (['a', 'b'], False))
    >>> _parse(b'{"text": ""}', True), _parse(b'{"texts": []}', False), _parse(b'{"text": "a", "truncate": "x"}', True)
    (None, None, None)
    """
    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(document, dict) or not _OTHERS.isdisjoint(document):
        return None
    texts = [document.get("text")] if single else document.get("texts")
    normalize = document.get("normalize", True)
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_TEXTS or not isinstance(normalize, bool):
        return None
    if not all(isinstance(text, str) for text in texts) or (single and not 1 <= len(texts[0]) <= MAX_TEXT_CHARACTERS):
        return None
    return texts, normalize
