"""uvicorn's HTTP protocol with bounds that it lacks: on a request's head, on its time, and on open connections."""

import asyncio
import resource
import select
from http import HTTPStatus

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.contract import is_health
from proxy.server.stopping import STOPPING

# A head is kept in memory until it is complete. Apache takes 100 headers by default, nginx 32 KB.
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
# A connection without a whole head after this long holds a place that others need.
HEAD_SECONDS = 30.0
# What still comes after a refusal is read and thrown away for this long: a connection that is closed while the client
# sends is reset, and the answer may be lost with it.
_LINGER_SECONDS = 2.0
# Descriptors that are no client's: Triton's connections, the log, the event loop.
_OTHER_FILES = 64

_Refusal = tuple[HTTPStatus, str]
_BAD_REQUEST: _Refusal = (HTTPStatus.BAD_REQUEST, "This is not a valid HTTP request.")
LARGE_HEAD: _Refusal = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"The request's head has more than {MAX_HEADERS} headers or {MAX_HEAD_BYTES // 1024} KiB.",
)
SLOW_HEAD: _Refusal = (HTTPStatus.REQUEST_TIMEOUT, f"The request's head was not complete after {HEAD_SECONDS:g} s.")
_FULL: _Refusal = (HTTPStatus.SERVICE_UNAVAILABLE, "The service has as many connections open as it takes.")


class _Refused(Exception):
    """Ends the parsing of a request that is answered here."""


class BoundedProtocol(HttpToolsProtocol):
    """One client's connection. `max_connections` is set on a subclass: uvicorn makes the instances."""

    max_connections: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Past `max_connections` the first request is refused, unless it asks for health."""
        super().connection_made(transport)
        self._surplus = len(self.connections) > self.max_connections
        self._refusal = _BAD_REQUEST
        self._ended = False
        self._begin_head(_LINGER_SECONDS if self._surplus else HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client or the server closed it."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of any number of requests, in any pieces."""
        if self._ended:
            return
        if self._in_head and self._head_bytes == 0 and self.cycle is not None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self._ended:
            self._refuse(LARGE_HEAD)

    def on_headers_complete(self) -> None:
        """A whole head is there: the request is started, or refused."""
        self._in_head = False
        self._timer.cancel()
        if len(self.headers) > MAX_HEADERS or self._head_size() > MAX_HEAD_BYTES:
            self._refusal = LARGE_HEAD
            raise _Refused
        if self._surplus and not is_health(self.url.partition(b"?")[0].decode("latin-1")):
            self._refusal = _FULL
            raise _Refused
        before = self.cycle
        super().on_headers_complete()
        stopping = STOPPING in self.app_state
        if stopping and before is not None and not before.response_started:
            before.keep_alive = True  # this one was sent before the client could know: both are answered
        if self._surplus or stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The next byte begins another head, whose time runs from then."""
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def shutdown(self) -> None:
        """The next answer is the last. A connection without a request stays open: one may be on its way."""
        if self._answering:
            self.cycle.keep_alive = False

    def close_if_idle(self) -> None:
        """Closes a connection that has no request, not even one that has begun to come in."""
        if self._answering or self._head_bytes or self.transport.is_closing():
            return
        waiting = select.poll()
        waiting.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        if not waiting.poll(0):
            self.transport.close()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """uvicorn's answer to what is not HTTP, and to `_Refused`."""
        self._refuse(self._refusal)

    def _begin_head(self, seconds: float) -> None:
        self._in_head, self._head_bytes = True, 0
        self._timer = self.loop.call_later(seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        if self._head_bytes and not self._surplus:
            self._refuse(SLOW_HEAD)
        else:
            self.transport.close()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, refusal: _Refusal) -> None:
        status, sentence = refusal
        body = orjson.dumps({"detail": sentence})
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n"
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            head += "retry-after: 1\r\n"
        self._ended = True
        self._timer.cancel()
        if self.transport.is_closing():
            return
        self.transport.write(head.encode() + b"\r\n" + body)
        self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def protocol_for(max_connections: int) -> type[BoundedProtocol]:
    """The class for `uvicorn.Config(http=…)`; fewer connections where the limit of open files leaves no more.

    Raises that limit as far as this process may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        max_connections = max(1, soft - _OTHER_FILES)
    return type("Protocol", (BoundedProtocol,), {"max_connections": max_connections})
