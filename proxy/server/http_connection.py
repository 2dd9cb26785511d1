"""A client's connection without its requests: reading, writing and closing, and what the server has of it.

The server is uvicorn's, which makes the instances and asks them to shut down.
"""

import asyncio
import select
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import orjson
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from proxy.refusals import REFUSALS, Refusal, Refusals
from proxy.server.http_limits import Limits
from proxy.server.http_timing import Patience
from proxy.server.stopping import STOPPING


class BoundedConnection(asyncio.Protocol):
    """The class attributes are set on a subclass."""

    limits: Limits
    max_connections: int
    idle: dict["BoundedConnection", float]  # connections without a request, longest idle first, and since when

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
        self._patience = Patience(self._loop, self.limits, self._too_late)
        self._writable = asyncio.Event()
        self.write_paused = False
        self.left_unread: asyncio.Future[bool] | None = None  # see `UNREAD`
        self._unread: bytes | memoryview = b""  # came, and is not parsed yet
        self._reading_paused = False
        self._deaf = False  # nothing more is parsed
        self._ending = False  # the last answer is out: closes when the client has sent all, or has no more time to
        self._told_to_stop = self._surplus = False

    def _too_late(self, what: str) -> None:
        """`Patience` is over."""
        raise NotImplementedError

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
        self._be_deaf()
        self._writable.set()
        self._was_read(cut=True)

    def eof_received(self) -> None:
        """The client sends no more: taken for its leaving, so that nothing is computed for one that is gone."""

    def pause_writing(self) -> None:
        """The client does not read, or not as fast as it is answered."""
        self.write_paused = True
        self.left_unread = self._loop.create_future()
        self._writable.clear()
        self._patience.reader(self._transport.get_write_buffer_size)

    def resume_writing(self) -> None:
        """It has read nearly all."""
        self.write_paused = False
        self._writable.set()
        self._was_read(cut=False)
        if not self._transport.is_closing():
            self._patience.reader_came()

    def _was_read(self, cut: bool) -> None:
        if self.left_unread is not None and not self.left_unread.done():
            self.left_unread.set_result(cut)

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

    def _be_deaf(self) -> None:
        """Nothing more is parsed."""
        self._deaf, self._unread = True, b""

    def _say(self, refusal: Refusal, url: bytes) -> None:
        """Answers with it, and closes when the client had the time to read it."""
        status, sentence = refusal
        refusals: Refusals | None = self._app_state.get(REFUSALS)
        body = orjson.dumps({"detail": sentence}) if refusals is None else refusals.body(refusal, url)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n"
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            head += "retry-after: 1\r\n"
        self._be_deaf()
        self._ending = True
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
        self._be_deaf()
        self.idle.pop(self, None)
        self._patience.stop()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._patience.reader(self._transport.get_write_buffer_size)
