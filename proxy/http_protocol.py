"""A client's connection: its requests one after another to the application, within the bounds of `Limits`.

uvicorn's own protocol has no bounds on heads, trailers and pipelines, none on the time of a body or of an answer, and
writes an error for a later request before the answer to an earlier one.
"""

import asyncio
import math
import resource
import select
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import orjson
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from proxy.http_exchange import Exchange
from proxy.http_limits import FULL, REFUSAL, REFUSALS, SLOW_BODY, SLOW_HEAD, Limits, Refusal, Refusals
from proxy.http_requests import RequestParser
from proxy.http_timing import Patience
from proxy.stopping import STOPPING

# Of a body that the application has not taken, so much is kept before reading pauses.
_HIGH_WATER_BYTES = 64 * 1024
# Descriptors that are no client's: Triton's connections, the log, the event loop.
_OTHER_FILES = 64


class BoundedProtocol(asyncio.Protocol):
    """One client's connection. The class attributes are set on a subclass: uvicorn makes the instances."""

    limits: Limits
    max_connections: int
    idle: dict["BoundedProtocol", float]  # connections without a request, longest idle first, and since when

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._app: ASGIApp = config.loaded_app
        self._loop = _loop or asyncio.get_running_loop()
        self._state, self._app_state = server_state, app_state
        self._keep_alive_seconds = config.timeout_keep_alive
        self._parser = RequestParser(self, self.limits, config.asgi_version)
        self._patience = Patience(self._loop, self.limits, self._too_late)
        self._writable = asyncio.Event()
        self.write_paused = False
        self._unread = memoryview(b"")  # came, and is not parsed yet
        self._reading_paused = False
        self._deaf = False  # nothing more is parsed
        self._ending = False  # the last answer is out: closes when the client has sent all, or has no more time to
        self._told_to_stop = self._surplus = False
        self._current: Exchange | None = None  # the one that the application answers
        self._queue: deque[Exchange] = deque()  # those that came after it
        self._incoming: Exchange | None = None  # the one whose body comes
        self._refusal: tuple[Refusal, Exchange | None] | None = None  # to be sent when all before is answered
        self._drained = 0
        self._head_begun = 0.0

    # What the event loop tells.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Past `max_connections` an idle one makes room, or the first request is refused unless it asks for health."""
        self._transport = transport
        self._server, self._client = get_local_addr(transport), get_remote_addr(transport)
        self._state.connections.add(self)  # type: ignore[arg-type]
        self._surplus = len(self._state.connections) > self.max_connections and not self._evict()
        self.idle[self] = self._loop.time()
        self._patience.end(self._head_seconds)
        self._patience.watch()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The client or the server closed it."""
        self._state.connections.discard(self)
        self.idle.pop(self, None)
        self._patience.stop()
        self._deaf, self._unread = True, memoryview(b"")
        self._queue.clear()
        if self._current is not None:
            self._current.disconnect()
        self._writable.set()

    def eof_received(self) -> None:
        """The client sends no more: taken for its leaving, so that nothing is computed for one that is gone."""

    def data_received(self, data: bytes) -> None:
        """Bytes of any number of requests, in any pieces."""
        if self._deaf:
            return
        self._patience.body_moved(len(data))
        self._unread = memoryview(bytes(self._unread) + data if self._unread else data)
        self._advance()

    def pause_writing(self) -> None:
        """The client does not read, or not as fast as it is answered."""
        self.write_paused = True
        self._writable.clear()
        self._patience.reader(self._transport.get_write_buffer_size)

    def resume_writing(self) -> None:
        """It has read nearly all."""
        self.write_paused = False
        self._writable.set()
        if not self._transport.is_closing():
            self._patience.reader_came()
        if self._current is None:
            self._advance()

    # What the parser tells.

    def head_begins(self) -> None:
        """The first byte of a request."""
        self.idle.pop(self, None)
        self._head_begun = self._loop.time()
        self._patience.head(self._head_seconds)

    def head_came(self, scope: dict[str, Any], url: bytes, keep_alive: bool, awaits_continue: bool) -> Refusal | None:
        """A whole head."""
        self._patience.head_came()
        if self._surplus and not url.startswith(b"/health"):
            return FULL
        scope.update(server=self._server, client=self._client, state=self._app_state.copy())
        self._incoming = Exchange(self, scope, url, keep_alive and not self._surplus, awaits_continue)
        self._queue.append(self._incoming)
        return None

    def body_came(self, body: bytes) -> None:
        """A piece of a body; what comes after the answer is dropped."""
        assert self._incoming is not None
        if not self._incoming.answered:
            self._incoming.came(body)
            return
        self._drained += len(body)
        if self._drained > self.limits.drain_bytes:
            self._close()

    def request_came(self) -> bool:
        """The end of a request; returns whether another may come."""
        assert self._incoming is not None
        exchange, self._incoming = self._incoming, None
        exchange.receive_all()
        self._patience.body_came()
        if exchange.answered:
            self._patience.end(math.inf)
        if self._ending:
            self._close()
        return exchange.keep_alive and not self._ending

    # What an exchange tells and asks.

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """uvicorn's: the date."""
        return self._state.default_headers

    def write(self, data: bytes) -> None:
        """To the client, or to the buffer."""
        self._transport.write(data)

    async def writable(self) -> None:
        """Returns when little is buffered, or the connection is lost."""
        await self._writable.wait()

    def body_taken(self) -> None:
        """There is room for more of the body."""
        if self._reading_paused:
            self._advance()

    def may_be_kept(self) -> bool:
        """While the server stops, only what was sent before the client could know is still answered."""
        return not self._surplus and (not self._stopping or bool(self._queue))

    def answered(self, exchange: Exchange, kept: bool) -> None:
        """The next one is begun, or the connection ended."""
        self._state.total_requests += 1
        if exchange is not self._current or self._transport.is_closing():
            return
        self._current = None
        unfinished = self._incoming is exchange
        if not kept:
            self._queue.clear()
            self._refusal = None
            if not unfinished or self._stopping:
                self._close()
                return
            self._ending = True
            self._end_writing()
        if unfinished:
            exchange.body.clear()
            self._drained = 0
            self._patience.body(self.limits.drain_stall_seconds)
            self._patience.end(self.limits.drain_seconds)
        self._advance()

    def failed(self, exchange: Exchange, refusal: Refusal) -> None:
        """The application gave no answer."""
        if exchange is not self._current or self._transport.is_closing():
            return
        self._current = None
        if exchange.answering:
            self._close()
        else:
            self._say(refusal, exchange.url)

    # What the server asks.

    def shutdown(self) -> None:
        """The next answer is the last. A connection without a request stays open: one may be on its way."""
        self._told_to_stop = True
        if STOPPING not in self._app_state or self._ending:  # else the server closes it when its time has come
            self.close_if_idle()

    def close_if_idle(self) -> bool:
        """Closes a connection that has no request, not even one that has begun to come in; says whether it did."""
        if self not in self.idle and not self._ending:
            return False
        if not self._ending:
            waiting = select.poll()
            waiting.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
            if waiting.poll(0):
                return False
        self._close()
        return True

    @property
    def _stopping(self) -> bool:
        return self._told_to_stop or STOPPING in self._app_state

    @property
    def _head_seconds(self) -> float:
        return self.limits.linger_seconds if self._surplus else self.limits.head_seconds

    def _evict(self) -> bool:
        """Closes the connection that is idle for longest, if that is long enough."""
        for other, since in self.idle.items():
            if self._loop.time() - since < self.limits.evicted_after_seconds:
                return False
            if other.close_if_idle():
                self._state.connections.discard(other)
                return True
        return False

    def _advance(self) -> None:
        """What follows from what came or was answered: requests are parsed, begun and refused, up to what is taken."""
        while not self._transport.is_closing():
            if self._current is None and self._queue and not self.write_paused:
                self._current = self._queue.popleft()
                task = self._loop.create_task(self._current.run(self._app))
                self._state.tasks.add(task)
                task.add_done_callback(self._state.tasks.discard)
            elif self._unread and not self._deaf and not self._has_enough():
                self._parse()
            else:
                break
        if self._transport.is_closing():
            return
        if self._refusal is not None and self._current is None and not self._queue and not self.write_paused:
            self._refuse(*self._refusal)
            return
        self._set_reading(paused=self._has_enough() and not self._deaf)
        if self._incoming is not None and not self._patience.for_body:
            self._patience.body(self.limits.stall_seconds)
        busy = self._current or self._queue or self._incoming or self._refusal or self._parser.begun or self._ending
        if not busy and self not in self.idle:
            self.idle[self] = self._loop.time()
            self._patience.end(self._keep_alive_seconds)
        self._patience.watch()

    def _parse(self) -> None:
        count = self._parser.piece()
        piece, self._unread = self._unread[:count], self._unread[count:]
        again, refusal = self._parser.feed(piece)
        if again:
            self._unread = memoryview(again + bytes(self._unread))
        if refusal is not None:
            self._end_with(refusal)
        elif self._parser.ended:
            self._deaf, self._unread = True, memoryview(b"")

    def _has_enough(self) -> bool:
        full = self._incoming is not None and len(self._incoming.body) > _HIGH_WATER_BYTES
        return full or len(self._queue) >= self.limits.pipelined

    def _set_reading(self, paused: bool) -> None:
        if paused == self._reading_paused:
            return
        self._reading_paused = paused
        if paused:
            self._transport.pause_reading()
            self._patience.pause()
        else:
            self._transport.resume_reading()
            self._patience.resume()

    def _too_late(self, what: str) -> None:
        """`Patience` is over."""
        if what == "reader":
            self._transport.abort()
        elif what == "end" or self._ending or (self._incoming is not None and self._incoming.answered):
            self._close()
        else:
            self._end_with(SLOW_HEAD if what == "head" else SLOW_BODY)
            self._advance()

    def _end_with(self, refusal: Refusal) -> None:
        """Nothing more is read, and when all that came before is answered, the refusal is the last answer."""
        self._deaf, self._unread = True, memoryview(b"")
        self._patience.head_came()
        self._patience.body_came()
        exchange, self._incoming = self._incoming, None
        if exchange is None:
            pass
        elif exchange is not self._current and self._queue:
            self._queue.pop()  # the application has not seen it
        elif exchange.answering:
            exchange.disconnect()
            self._close()
            return
        else:
            exchange.scope["state"][REFUSAL] = refusal
            exchange.disconnect()
            self._current = None
        self._refusal = refusal, exchange

    def _refuse(self, refusal: Refusal, exchange: Exchange | None) -> None:
        refusals: Refusals | None = self._app_state.get(REFUSALS)
        known = exchange is not None and REFUSAL in exchange.scope["state"]
        url = exchange.url if exchange is not None else self._parser.url
        if refusals is not None and not known:
            method = exchange.method if exchange is not None else self._parser.method
            refusals.refused(refusal, method, url, self._loop.time() - self._head_begun)
        self._say(refusal, url)

    def _say(self, refusal: Refusal, url: bytes) -> None:
        """Answers with it, and closes when the client had the time to read it."""
        status, sentence = refusal
        refusals: Refusals | None = self._app_state.get(REFUSALS)
        body = orjson.dumps({"detail": sentence}) if refusals is None else refusals.body(refusal, url)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n"
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            head += "retry-after: 1\r\n"
        self._deaf, self._ending, self._refusal, self._unread = True, True, None, memoryview(b"")
        self._queue.clear()
        self._transport.write(head.encode() + b"\r\n" + body)
        self._end_writing()
        self._set_reading(paused=False)
        self._patience.end(self.limits.linger_seconds)
        self._patience.watch()

    def _end_writing(self) -> None:
        """Tells the client that no more comes."""
        with suppress(OSError):  # it has reset the connection, and the event loop does not know yet
            self._transport.write_eof()

    def _close(self) -> None:
        """Closes when all is sent, or the client does not read on."""
        if self._transport.is_closing():
            return
        self._deaf, self._unread = True, memoryview(b"")
        self.idle.pop(self, None)
        self._patience.stop()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._patience.reader(self._transport.get_write_buffer_size)


def protocol_for(max_connections: int, limits: Limits = Limits()) -> type[BoundedProtocol]:  # noqa: B008
    """The class for `uvicorn.Config(http=…)`; fewer connections where the limit of open files leaves no more.

    Raises that limit as far as this process may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        max_connections = max(1, soft - _OTHER_FILES)
    attributes = {"max_connections": max_connections, "limits": limits, "idle": {}}
    return type("Protocol", (BoundedProtocol,), attributes)
