"""ASGI middleware: a body sent as gzip or deflate is decoded, and what cannot be read as UTF-8 is refused with 415.

Content codings: RFC 9110, 8.4. A body under another one, or in another character set, would be taken for another text.
"""

import asyncio
import zlib
from collections.abc import Awaitable
from email.message import Message as Header
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.middleware.bodies_in_hand import BodiesInHand, NoRoom, Share, refuse
from proxy.refusals import NOT_AS_ENCODED, UNKNOWN_CHARSET, UNKNOWN_CODING, Refusal
from proxy.responses import json_answer, note_failure

_MIB = 1024 * 1024
# zlib's names for its formats: gzip, zlib's own (what `deflate` means), and bare deflate (what some send as `deflate`).
_GZIP, _ZLIB, _BARE = 31, 15, -15
_CODINGS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
# Each multiplies what a small body can become, and no client sends more.
_MOST_CODINGS = 3
# Decoded in one go: well below a millisecond, in which nobody else is served.
_PIECE_BYTES = 128 * 1024


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal


class ContentCoding:
    """`max_mib` and `bodies` bound the decoded body, too; the decoding ends there. The sent one must be bounded."""

    def __init__(self, app: ASGIApp, max_mib: int, bodies: BodiesInHand) -> None:
        self._app = app
        self._bodies = bodies
        self._max_bytes = max_mib * _MIB
        self._too_large = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request body is larger than {max_mib} MB.")

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes the request on with a plain body, or refuses it."""
        codings, content_type, has_body = _headers(scope) if scope["type"] == "http" else ([], b"", False)
        if not has_body or not (codings or b"charset" in content_type):
            return self._app(scope, receive, send)
        return self._read_then_pass(codings, content_type, scope, receive, send)

    async def _read_then_pass(
        self, codings: list[str], content_type: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            if _charset(content_type) not in ("", "utf-8", "utf8"):
                raise _Refused(UNKNOWN_CHARSET)
            if len(codings) > _MOST_CODINGS or not set(codings) <= _CODINGS.keys():
                raise _Refused(UNKNOWN_CODING)
        except _Refused as refused:
            await _refuse(refused.refusal, scope, receive, send)
            return
        if not codings:
            await self._app(scope, receive, send)
            return
        with self._bodies.share() as share:
            await self._decode_then_pass(share, codings, scope, receive, send)

    async def _decode_then_pass(
        self, share: Share, codings: list[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = await _read(receive)
        if body is None:
            return  # the client is gone: nobody to answer
        try:
            body = await self._decode(body, codings, share)
        except NoRoom:
            await refuse(scope, receive, send)
            return
        except _Refused as refused:
            await _refuse(refused.refusal, scope, receive, send)
            return
        dropped = (b"content-encoding", b"content-length", b"transfer-encoding")
        scope["headers"] = [header for header in scope["headers"] if header[0] not in dropped]
        await self._app(scope, _replay(body, receive), send)

    async def _decode(self, body: bytes, codings: list[str], share: Share) -> bytes:
        for coding in reversed(codings):  # the last one was put on last
            if body:
                body = await self._inflate(body, _CODINGS[coding], share)
        return body

    async def _inflate(self, body: bytes, form: int, share: Share) -> bytes:
        """The members of a gzip file one after another, or one stream; in pieces, so that others are served between."""
        if form == _ZLIB and not _is_zlib(body):
            form = _BARE
        decoded, decoder = bytearray(), zlib.decompressobj(form)
        for start in range(0, len(body), _PIECE_BYTES):
            left, full = body[start : start + _PIECE_BYTES], False
            while left or full:
                if decoder.eof:
                    if form != _GZIP:
                        raise _Refused(NOT_AS_ENCODED)
                    decoder = zlib.decompressobj(form)
                try:
                    piece = decoder.decompress(left, _PIECE_BYTES)
                except zlib.error:
                    raise _Refused(NOT_AS_ENCODED) from None
                decoded += piece
                share.hold(len(decoded))
                if len(decoded) > self._max_bytes:
                    raise _Refused(self._too_large)
                left = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
                full = len(piece) == _PIECE_BYTES and not decoder.eof  # there may be more of it, without any input
                if full:
                    await asyncio.sleep(0)
        if not decoder.eof:  # cut short
            raise _Refused(NOT_AS_ENCODED)
        return bytes(decoded)


def _headers(scope: Scope) -> tuple[list[str], bytes, bool]:
    """Content codings in the order in which they were put on, Content-Type, and whether there is a body."""
    codings: list[str] = []
    content_type, has_body = b"", False
    for name, value in scope["headers"]:
        if name == b"content-encoding":
            codings += [coding.strip() for coding in value.decode("latin-1").lower().split(",")]
        elif name == b"content-type" and not content_type:
            content_type = value.lower()
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            has_body = True
    return [coding for coding in codings if coding not in ("", "identity")], content_type, has_body


def _charset(content_type: bytes) -> str:
    """
    >>> _charset(b'application/json; charset="utf-8"'), _charset(b"text/plain; charset=euc-kr"), _charset(b"text/plain")
    ('utf-8', 'euc-kr', '')
    """
    header = Header()
    header["content-type"] = content_type.decode("latin-1")
    return str(header.get_param("charset", "")).strip(" '\"")


def _is_zlib(body: bytes) -> bool:
    """Whether the two bytes of RFC 1950's head are there: deflate with a window of at most 32 KiB, and their check."""
    return len(body) >= 2 and body[0] & 0x8F == 0x08 and int.from_bytes(body[:2], "big") % 31 == 0


async def _read(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    handed = False

    async def replay() -> Message:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    note_failure(Request(scope), refusal.sentence)
    accepted = {"Accept-Encoding": "gzip, deflate, identity"} if refusal == UNKNOWN_CODING else None
    await json_answer({"detail": refusal.sentence}, refusal.status, accepted)(scope, receive, send)
