"""ASGI middleware: counts and times every answer."""

import time
from collections.abc import Collection, Iterable
from http import HTTPStatus

from fastapi import APIRouter
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.errors import ServiceFull
from proxy.refusals import REFUSAL
from proxy.responses import CLIENT_CLOSED_REQUEST
from proxy.telemetry.metering import CURRENT_TIMES, RequestTimes, server_timing
from proxy.telemetry.metrics import Metrics

# Every path that is none of the service's counts as one.
_OTHER = "other"


class Metering:
    """Counts and times every answer, and writes its stages as a `Server-Timing` header.

    `paths`: those that are labels; whatever else is asked for, pages included, is counted as `other`.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, times, status = time.perf_counter(), RequestTimes(), CLIENT_CLOSED_REQUEST
        CURRENT_TIMES.set(times)

        async def add(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                timing = server_timing(time.perf_counter() - begun, times.stages, status)
                message["headers"] = [*message.get("headers", ()), (b"server-timing", timing.encode("ascii"))]
            await send(message)

        try:
            await self._app(scope, receive, add)
        finally:
            seconds, state = time.perf_counter() - begun, scope.get("state", {})
            refused = issubclass(state.get("failure_kind") or Exception, ServiceFull)
            if (refusal := state.get(REFUSAL)) is not None:  # the server's own, in place of an answer from here
                status = int(refusal.status)
            route = route_of(scope["path"], self._paths)
            self._metrics.answered(route, status, seconds, state.get("text_count"), refused)
            if times.stages is not None and status == HTTPStatus.OK:
                self._metrics.staged(max(0.0, seconds - times.stages.total), times.stages)


def route_of(path: str, paths: Collection[str]) -> str:
    """The label of a path."""
    return path if path in paths else _OTHER


def paths_of(routers: Iterable[APIRouter]) -> set[str]:
    """All of their routes' paths. None of them has a parameter, which could make as many labels as a client likes."""
    return {route.path for router in routers for route in router.routes if isinstance(route, Route)}
