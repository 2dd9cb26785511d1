"""Kept connections to Triton, at most so many at one time."""

import asyncio
import socket
import ssl
from urllib.parse import urlsplit

from proxy.deadlines import timeout
from proxy.triton.connection import (
    Answer,
    CannotConnect,
    Connection,
    ConnectTimedOut,
    EndedWhileIdle,
    NotOpen,
    TransportError,
)

# Past this many requests at once the rest waits here, where a deadline can still take it out of the queue.
_MAX_CONNECTIONS = 64
# A host that does not even refuse a connection is away; the whole deadline is not spent on finding out.
_CONNECT_SECONDS = 2.0
# Longer than pauses between requests, so that a new connection, and what it costs, is rare.
_IDLE_SECONDS = 300.0


class ConnectionPool:
    """Connections to one address. No method has a time limit of its own but for connecting: the caller cancels."""

    def __init__(self, url: str) -> None:
        """`url`: http://host:port or https://host:port."""
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._tls: ssl.SSLContext | None = None
        self._open = False
        self._places = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []  # the one used last at the end, and taken first

    async def open(self) -> None:
        """Lets requests in; makes no connection yet."""
        if self._secure and self._tls is None:
            self._tls = ssl.create_default_context()
        self._open = True

    async def close(self) -> None:
        """Ends every connection, and what is under way on it."""
        self._open = False  # first: what is tried once more must find it closed
        for connection in self._all:
            connection.abort()
        self._all.clear()
        self._idle.clear()
        await asyncio.sleep(0)  # the event loop's turn to close the sockets

    async def exchange(self, request: bytes) -> Answer:
        """The answer to a request: an HTTP/1.1 head and body that keeps the connection. Raises `TransportError`.

        A kept connection that ended while it was idle is replaced by a new one, once: embedding twice changes nothing.
        """
        async with self._places:
            kept = self._take()
            if kept is not None:
                try:
                    return await self._exchange_over(kept, request)
                except EndedWhileIdle:
                    pass
            return await self._exchange_over(await self._connect(), request)

    async def _exchange_over(self, connection: Connection, request: bytes) -> Answer:
        try:
            answer = await connection.exchange(request)
        except BaseException:
            self._all.discard(connection)
            raise
        if self._open and connection.usable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            self._let_go(connection)
        return answer

    def _take(self) -> Connection | None:
        overdue = asyncio.get_running_loop().time() - _IDLE_SECONDS
        while self._idle and self._idle[0].idle_since < overdue:
            self._let_go(self._idle.pop(0))
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._let_go(connection)
        return None

    def _let_go(self, connection: Connection) -> None:
        self._all.discard(connection)
        connection.abort()

    async def _connect(self) -> Connection:
        """A new connection, to the first of the host's addresses that takes one."""
        if not self._open:
            raise NotOpen
        loop = asyncio.get_running_loop()
        failure: TransportError = CannotConnect("no address")
        try:
            async with timeout(_CONNECT_SECONDS):
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except asyncio.TimeoutError as error:  # before OSError, which it is from Python 3.11 on
            raise ConnectTimedOut from error
        except (OSError, UnicodeError) as error:
            raise CannotConnect from error
        for *_, address in found:
            try:
                async with timeout(_CONNECT_SECONDS / len(found)):
                    connection = await self._connect_to(str(address[0]))
            except asyncio.TimeoutError as error:
                failure = ConnectTimedOut()
                failure.__cause__ = error
            except OSError as error:
                failure = CannotConnect()
                failure.__cause__ = error
            else:
                if not self._open:  # closed meanwhile
                    connection.abort()
                    raise NotOpen
                self._all.add(connection)
                return connection
        raise failure

    async def _connect_to(self, address: str) -> Connection:
        """`address`: numeric."""
        _, connection = await asyncio.get_running_loop().create_connection(
            Connection, address, self._port, ssl=self._tls, server_hostname=self._host if self._secure else None
        )
        return connection
