"""ASGI middleware, the outermost: counts, times and logs every request."""

import time
from collections.abc import Awaitable, Collection, Iterable
from http import HTTPStatus

from fastapi import APIRouter
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.errors import ServiceFull
from proxy.middleware.access_log import is_logged, log_request
from proxy.refusals import REFUSAL
from proxy.responses import CLIENT_CLOSED_REQUEST, UNREAD
from proxy.telemetry.metering import CURRENT_TIMES, RequestTimes, server_timing
from proxy.telemetry.metrics import Metrics

# Every path that is none of the service's counts as one.
_OTHER = "other"

# Clients give up after seconds. To ask the server whether they did costs time, which a short request need not pay.
_PATIENT_SECONDS = 0.5


class Observe:
    """Counts and times every answer, writes its stages as a `Server-Timing` header, and logs it when it is over.

    `paths`: those that are labels; whatever else is asked for, pages included, is counted as `other`.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, paths: Collection[str], patient_seconds: float = _PATIENT_SECONDS
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = frozenset(paths)
        self._patient_seconds = patient_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        observed = _Observed(scope, receive, send, self._patient_seconds)
        try:
            await self._app(scope, observed.receive, observed.send)
        finally:
            if (unread := scope.get("state", {}).get(UNREAD)) is None:
                self._count(scope, observed)
            else:
                unread.add_done_callback(lambda done: self._count(scope, observed, cut=done.result()))

    def _count(self, scope: Scope, observed: "_Observed", cut: bool = False) -> None:
        """`cut`: the client did not read the answer to its end."""
        seconds = time.perf_counter() - observed.begun
        state, path = scope.get("state", {}), scope["path"]
        told = None if cut else observed.status
        status = CLIENT_CLOSED_REQUEST if told is None else told
        refused = issubclass(state.get("failure_kind") or Exception, ServiceFull)
        if (refusal := state.get(REFUSAL)) is not None:  # the server's own, in place of an answer from here
            status = int(refusal.status)
        self._metrics.answered(route_of(path, self._paths), status, seconds, state.get("text_count"), refused)
        stages = observed.times.stages
        if stages is not None and status == HTTPStatus.OK:
            self._metrics.staged(max(0.0, seconds - stages.total), stages)
        if is_logged(scope):
            log_request(scope, told, seconds, observed.client_left or cut)


class _Observed:
    """One request: its `receive` and `send`, and what was seen on them."""

    __slots__ = (
        "_body_read",
        "_patient_seconds",
        "_receive",
        "_scope",
        "_send",
        "begun",
        "client_left",
        "status",
        "times",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, patient_seconds: float) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._patient_seconds = patient_seconds
        self._body_read = False
        self.begun = time.perf_counter()
        self.times = RequestTimes()
        self.status: int | None = None
        self.client_left = False
        CURRENT_TIMES.set(self.times)

    async def receive(self) -> Message:
        """The server's next message."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.client_left = True
        elif not message.get("more_body", False):
            self._body_read = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Adds the header to the answer's head."""
        if message["type"] == "http.response.start":
            self.status = status = message["status"]
            seconds = time.perf_counter() - self.begun
            timing = server_timing(seconds, self.times.stages, status)
            message["headers"] = [*message.get("headers", ()), (b"server-timing", timing.encode("ascii"))]
            # A server drops the answer to a client that is gone without a word. Only once the whole body is read: to
            # ask before would tell a client that waits with "Expect: 100-continue" to send it.
            if self._body_read and not self.client_left and seconds > self._patient_seconds and is_logged(self._scope):
                return self._look_and_send(message)
        return self._send(message)

    async def _look_and_send(self, message: Message) -> None:
        self.client_left = await Request(self._scope, self._receive).is_disconnected()
        await self._send(message)


def route_of(path: str, paths: Collection[str]) -> str:
    """The label of a path."""
    return path if path in paths else _OTHER


def paths_of(routers: Iterable[APIRouter]) -> set[str]:
    """All of their routes' paths. None of them has a parameter, which could make as many labels as a client likes."""
    return {route.path for router in routers for route in router.routes if isinstance(route, Route)}
