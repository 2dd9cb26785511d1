"""A pool of connections that tells which one a request got, and so which answers are of one server process."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


@dataclass(frozen=True)
class Span:
    """From when to when a connection was surely open. The clock is the number of connections made so far."""

    first: int  # when it was made: its own number, from 1
    last: int  # when an answer began to come over it

    def same_process(self, other: "Span") -> bool:
        """Whether both connections certainly led to one process.

        A server's connections end with it, and no two processes listen on one port at one time: connections that were
        open at one instant lead to one process. (What a process sent before it died can be read after; but a Triton
        takes a second to start, and the beginning of an answer does not lie unread for that long while another
        connection is made.)

        >>> Span(1, 1).same_process(Span(1, 5))
        True
        >>> Span(1, 2).same_process(Span(2, 2))
        True
        >>> Span(1, 1).same_process(Span(2, 2))  # 1 may have been closed before 2 was made
        False
        """
        return self.first <= other.last and other.first <= self.last


class PickedConnection(NamedTuple):
    """The connection that a request got."""

    number: int
    reused: bool


# What the last request of the running task got; None until it got anything.
LAST_PICKED: ContextVar[PickedConnection | None] = ContextVar("LAST_PICKED", default=None)


class NumberedConnections(aiohttp.TCPConnector):
    """aiohttp's pool, with `LAST_PICKED` set whenever a request gets its connection.

    aiohttp's tracing tells of connections that are made and reused, but not of which one is reused.
    """

    def __init__(self, limit: int, keepalive_timeout: float) -> None:
        """`limit`: connections at one time. `keepalive_timeout`: seconds that an idle one is kept."""
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self._numbers: WeakKeyDictionary[ResponseHandler, int] = WeakKeyDictionary()
        self.made = 0

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """As aiohttp's, which calls it for every request."""
        connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        assert protocol is not None
        number = self._numbers.get(protocol)
        reused = number is not None
        if number is None:
            self.made += 1
            number = self._numbers[protocol] = self.made
        LAST_PICKED.set(PickedConnection(number, reused))
        return connection
