"""One request and its answer, as ASGI has it: the application's `receive` and `send`."""

import asyncio
import logging
import re
from http import HTTPStatus
from typing import Any, Protocol

from starlette.types import ASGIApp, Message

from proxy.refusals import Refusal
from proxy.responses import UNREAD
from proxy.server.http_limits import FAILED

LOG = logging.getLogger("proxy")

_BAD_HEADER = re.compile(rb"[\x00\r\n]")
_NO_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


_STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}


class Connection(Protocol):
    """What an exchange asks of the connection that it is on."""

    write_paused: bool
    left_unread: asyncio.Future[bool] | None  # see `UNREAD`

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Those that each answer begins with."""

    def write(self, data: bytes) -> None:
        """Sends, or buffers."""

    async def writable(self) -> None:
        """Waits until little is buffered, or the connection is lost."""

    def body_taken(self) -> None:
        """The application took what was there of the body: more may be read."""

    def may_be_kept(self) -> bool:
        """Whether the answer need not be the last one."""

    def answered(self, exchange: "Exchange", kept: bool) -> None:
        """The answer is written; `kept`: the connection goes on."""

    def failed(self, exchange: "Exchange", refusal: Refusal) -> None:
        """There will be no answer, or no more of it."""


class Exchange:
    """The answer's head is sent with the first piece of its body: one packet for a short answer."""

    def __init__(
        self, connection: Connection, scope: dict[str, Any], url: bytes, keep_alive: bool, awaits_continue: bool
    ) -> None:
        """`url`: as it was sent. `awaits_continue`: the client sends its body when it is told to."""
        self.scope = scope
        self.url = url
        self.method: str = scope["method"]  # the application may change its own
        self.body = bytearray()  # what has come, and is not taken
        self.received = False  # all of the request
        self.answering = False  # some of the answer is out
        self.answered = False  # all of it
        self.disconnected = False
        self.keep_alive = keep_alive
        self._awaits_continue = awaits_continue
        self._connection = connection
        self._handed = False  # all of the body to the application
        self._changed = asyncio.Event()
        self._head: list[bytes] | None = None
        self._left: int | None = None  # bytes that the answer's Content-Length promises; None where it has none
        self._chunked = self._kept = False

    async def run(self, app: ASGIApp) -> None:
        """The application's work on this request."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._connection.failed(self, FAILED)
            raise
        except Exception:
            LOG.exception("unexpected error")
            self._connection.failed(self, FAILED)
            return
        if not self.answered and not self.disconnected:
            LOG.error("the application ended without an answer")
            self._connection.failed(self, FAILED)

    def came(self, body: bytes) -> None:
        """A piece of the body."""
        self.body += body
        self._changed.set()

    def receive_all(self) -> None:
        """No more of the request comes."""
        self.received = True
        self._changed.set()

    def disconnect(self) -> None:
        """The client is gone, or as good as gone: what is sent from now on is dropped."""
        self.disconnected = True
        self._changed.set()

    async def receive(self) -> Message:
        """ASGI's."""
        if self._awaits_continue and not self.disconnected and not self.answering:
            self._awaits_continue = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.disconnected and not self.answered:
            if self.body or (self.received and not self._handed):
                body, self.body = bytes(self.body), bytearray()
                more = not self.received
                self._handed = not more
                self._connection.body_taken()
                return {"type": "http.request", "body": body, "more_body": more}
            self._changed.clear()
            await self._changed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI's. Raises `RuntimeError` for messages that make no HTTP answer."""
        if self._connection.write_paused:
            await self._connection.writable()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body":
            self._write(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected message {message['type']!r}")

    def _begin(self, message: Message) -> None:
        if self._head is not None or self.answering:
            raise RuntimeError("an answer begins once")
        status, close = message["status"], False
        lines = [_STATUS_LINES[status]]
        for name, value in (*self._connection.default_headers, *message.get("headers", ())):
            name = name.lower()
            if _BAD_HEADER.search(value):
                raise RuntimeError("a header has a line end in it")
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection":
                close = close or b"close" in value.lower()
            lines += (name, b": ", value, b"\r\n")
        bodiless = self.method == "HEAD" or status in _NO_BODY
        # A client that was not told to send its body may or may not do so: what comes next could be either.
        self._kept = self.keep_alive and not close and not self._awaits_continue and self._connection.may_be_kept()
        if self._left is None and not bodiless:
            self._chunked = self.scope["http_version"] == "1.1"
            self._kept = self._kept and self._chunked
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        if not self._kept and not close:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if bodiless:
            self._left = None
        self._head = lines

    def _write(self, body: bytes, more: bool) -> None:
        if self._head is None or self.answered:
            raise RuntimeError("an answer's body comes after its head and before its end")
        pieces, self._head = self._head, []
        if self.method != "HEAD":
            if self._left is not None:
                self._left -= len(body)
                if self._left < 0 or (self._left and not more):
                    raise RuntimeError("an answer is as long as its Content-Length")
            if not self._chunked:
                pieces.append(body)
            elif body:
                pieces += (b"%x\r\n" % len(body), body, b"\r\n")
            if self._chunked and not more:
                pieces.append(b"0\r\n\r\n")
        self.answering = True
        self._connection.write(b"".join(pieces))
        if self._connection.write_paused:
            self.scope["state"][UNREAD] = self._connection.left_unread
        if not more:
            self.answered = True
            self._changed.set()
            self._connection.answered(self, self._kept)
