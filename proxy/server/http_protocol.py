"""A client's connection: its requests one after another to the application, within the bounds of `Limits`.

uvicorn's own protocol has no bounds on heads, trailers and pipelines, none on the time of a body or of an answer, and
writes an error for a later request before the answer to an earlier one.
"""

import asyncio
import math
import resource
from collections import deque
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from proxy.contract import is_health
from proxy.refusals import REFUSAL, REFUSALS, Refusal, Refusals
from proxy.server.http_connection import BoundedConnection
from proxy.server.http_exchange import Exchange
from proxy.server.http_limits import FULL, SLOW_BODY, SLOW_HEAD, Limits
from proxy.server.http_requests import RequestParser

# Of a body that the application has not taken, so much is kept before reading pauses.
_HIGH_WATER_BYTES = 64 * 1024
# Descriptors that are no client's: Triton's connections, the log, the event loop.
_OTHER_FILES = 64


class BoundedProtocol(BoundedConnection):
    """Requests are parsed one behind the other, and the application answers one at a time."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._parser = RequestParser(self, self.limits, config.asgi_version)
        self._current: Exchange | None = None  # the one that the application answers
        self._queue: deque[Exchange] = deque()  # those that came after it
        self._incoming: Exchange | None = None  # the one whose body comes
        self._refusal: tuple[Refusal, Exchange | None] | None = None  # to be sent when all before is answered
        self._drained = 0
        self._head_begun = 0.0

    # What the event loop tells.

    def connection_lost(self, exc: Exception | None) -> None:
        """The work for a client that is gone ends."""
        super().connection_lost(exc)
        self._queue.clear()
        if self._current is not None:
            self._current.disconnect()

    def data_received(self, data: bytes) -> None:
        """Bytes of any number of requests, in any pieces."""
        if self._deaf:
            return
        self._patience.body_moved(len(data))
        self._unread = bytes(self._unread) + data if self._unread else data
        self._advance()

    def resume_writing(self) -> None:
        """The client has read nearly all: the next answer may come."""
        super().resume_writing()
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
        if self._surplus and not is_health(url.partition(b"?")[0].decode("latin-1")):
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
            self._queue.clear()
            self._refusal = None
            self._say(refusal, exchange.url)

    def _advance(self) -> None:
        """What follows from what came or was answered: requests are parsed, begun and refused, up to what is taken."""
        while True:
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
        count, unread = self._parser.piece(), self._unread
        if len(unread) <= count:
            piece, self._unread = unread, b""
        else:
            unread = memoryview(unread)
            piece, self._unread = unread[:count], unread[count:]
        again, refusal = self._parser.feed(piece)
        if again:
            self._unread = again + bytes(self._unread)
        if refusal is not None:
            self._end_with(refusal)
        elif self._parser.ended:
            self._be_deaf()

    def _has_enough(self) -> bool:
        full = self._incoming is not None and len(self._incoming.body) > _HIGH_WATER_BYTES
        return full or len(self._queue) >= self.limits.pipelined

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
        self._be_deaf()
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
        self._refusal = None
        self._say(refusal, url)


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
