"""Bounds the bytes of request bodies that are in memory at one time, those of all requests together."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from proxy.errors import ServiceFull
from proxy.responses import failure, note_failure

_MIB = 1024 * 1024

# What takes no more than this is not counted: the server reads as much ahead for every connection, and a short query
# must not be refused for somebody's large bodies.
UNCOUNTED_BYTES = 64 * 1024

_SENTENCE = "The service has as many large request bodies in hand as it takes on."


class NoRoom(Exception):
    """The bodies in hand would be more than may be."""


class BodiesInHand:
    """Of all bodies together at most `max_mib`; none is larger than that."""

    def __init__(self, max_mib: int) -> None:
        self._max_bytes = max_mib * _MIB
        self.bytes = 0  # in hand now

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """One request's part of them, given back at the end. Inside, `NoRoom` may be raised."""
        share = Share(self)
        try:
            yield share
        finally:
            self.bytes -= share.counted

    def has_room(self, size: int) -> bool:
        """Whether a body of this many bytes would be taken on now."""
        return size <= UNCOUNTED_BYTES or self.bytes + size <= self._max_bytes

    def take(self, size: int) -> None:
        """Counts so many bytes more, or raises `NoRoom`."""
        if self.bytes + size > self._max_bytes:
            raise NoRoom
        self.bytes += size


class Share:
    """The bytes of one request's body."""

    def __init__(self, bodies: BodiesInHand) -> None:
        self._bodies = bodies
        self.counted = 0

    def hold(self, size: int) -> None:
        """The body has grown to so many bytes. Raises `NoRoom`."""
        if size > UNCOUNTED_BYTES and size > self.counted:
            self._bodies.take(size - self.counted)
            self.counted = size


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request that there is no room for; the server reads and drops what still comes of its body."""
    note_failure(Request(scope), _SENTENCE, ServiceFull)
    answer = failure(_SENTENCE, HTTPStatus.SERVICE_UNAVAILABLE)
    answer.headers["connection"] = "close"
    await answer(scope, receive, send)
