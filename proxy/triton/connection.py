"""One HTTP/1.1 connection to Triton: one request at a time on it, its answer parsed by httptools."""

import asyncio
from typing import Any, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

# The largest answer by far is 128 texts' vectors or token ids: 2 MB.
MAX_BODY_BYTES = 64 * 2**20
# Of head and trailers; what frames a chunked body may be as much again as the body.
MAX_HEAD_BYTES = 64 * 2**10

_JSON_LENGTH = b"inference-header-content-length"


class TransportError(Exception):
    """No answer came, or none that is one.

    TransportError
    ├── NotOpen             the pool is closed
    ├── CannotConnect       refused, no such host, no certificate that is trusted
    ├── ConnectTimedOut     nobody answers at this address
    ├── ConnectionEnded     before the answer was complete
    │   └── EndedWhileIdle  a kept connection, before any byte of the answer
    ├── AnswerTooLarge      past the bounds above
    └── NotHttp             what came is not HTTP
    """


class NotOpen(TransportError):
    """The pool is closed."""


class CannotConnect(TransportError):
    """No connection: refused, no such host, no certificate that is trusted."""


class ConnectTimedOut(TransportError):
    """No connection in the time that one has."""


class ConnectionEnded(TransportError):
    """The connection ended before the answer was complete."""


class EndedWhileIdle(ConnectionEnded):
    """A kept connection ended before any byte of the answer: the server may have closed it before the request came."""


class AnswerTooLarge(TransportError):
    """The answer's head or body is past its bound."""


class NotHttp(TransportError):
    """What came is not an HTTP answer."""


class Answer(NamedTuple):
    """An answer as it came."""

    status: int
    json_length: bytes | None  # Triton's header on an answer with binary tensors: length of the JSON before them
    content: bytes


class Connection(asyncio.Protocol):
    """Made by the event loop's `create_connection`."""

    def __init__(self) -> None:
        self.idle_since = 0.0  # on the event loop's clock; for the pool
        self._transport: Any = None  # asyncio's or uvloop's
        self._parser = HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None  # set while a request waits for its answer
        self._answers = 0
        self._keeps = True  # the last answer did not end the connection
        self._received = 0  # bytes of the answer under way
        # Of the message that is read:
        self._json_length: bytes | None = None
        self._framed = False  # else the body ends with the connection
        self._head_ended = False
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def usable(self) -> bool:
        """Whether another request can go over it."""
        return self._keeps and self._waiter is None and self._transport is not None

    async def exchange(self, request: bytes) -> Answer:
        """The answer to one request. Cancelled, it ends the connection. Raises `TransportError`."""
        if self._transport is None:
            raise ConnectionEnded
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        self._received = 0
        self._begin_message()
        self._transport.write(request)
        try:
            return await waiter
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Ends the connection at once."""
        self._keeps = False
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:  # nothing was asked
            self.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._keeps = False
            self._fail(NotHttp(str(error)))
        else:
            if self._waiter is not None:
                self._check_size()
        if not self._keeps:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._keeps, self._transport = False, None
        if exc is None and self._head_ended and not self._framed:
            self._finish()
        else:
            idle = self._answers > 0 and self._received == 0
            self._fail(EndedWhileIdle() if idle else ConnectionEnded())

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._waiter is None:  # a second answer to one request
            self._keeps = False
        self._begin_message()

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == _JSON_LENGTH:
            self._json_length = value
        elif name in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        self._head_ended = True

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        self._check_size()
        if self._parser.get_status_code() >= 200:  # else the answer proper is still to come
            self._keeps = self._keeps and self._parser.should_keep_alive()
            self._finish()

    def _check_size(self) -> None:
        if self._size > MAX_BODY_BYTES or self._received - 2 * self._size > MAX_HEAD_BYTES:
            self._keeps = False
            self._fail(AnswerTooLarge())

    def _begin_message(self) -> None:
        self._json_length, self._framed, self._head_ended, self._parts, self._size = None, False, False, [], 0

    def _finish(self) -> None:
        waiter, self._waiter = self._waiter, None
        self._answers += 1
        if waiter is not None and not waiter.done():
            content = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            waiter.set_result(Answer(self._parser.get_status_code(), self._json_length, content))
        self._parts = []

    def _fail(self, error: TransportError) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
