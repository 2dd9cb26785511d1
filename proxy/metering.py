"""Where the time of each request goes: the ASGI middleware and the embedder that tell the metrics and the client."""

import time
from collections.abc import Collection, Iterable, Sequence
from contextvars import ContextVar
from http import HTTPStatus

from fastapi import APIRouter, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.admission import FULL
from proxy.answers import CLIENT_CLOSED_REQUEST
from proxy.embedder import AroundEmbedder, Embedder, Embeddings, Text, TruncationSide
from proxy.http_limits import REFUSAL
from proxy.metrics import CONTENT_TYPE, Metrics
from proxy.stage_times import StageTimes

METRICS = "/metrics"

# Every path that is none of the service's counts as one.
_OTHER = "other"


class _Times:
    """The stages of the request under way, as far as it has come to them."""

    def __init__(self) -> None:
        self.stages: StageTimes | None = None  # None until a text was embedded


_CURRENT: ContextVar[_Times | None] = ContextVar("times", default=None)


class MeteringEmbedder(AroundEmbedder):
    """An `Embedder` around another one: counts what it answers, and notes its stages for the request under way."""

    def __init__(self, embedder: Embedder, metrics: Metrics) -> None:
        super().__init__(embedder)
        self._metrics = metrics

    async def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Embeddings:
        """The embedder's own answer."""
        answer = await self._embedder.embed(texts, normalize, deadline, truncation)
        self._metrics.embedded(answer)
        if (times := _CURRENT.get()) is not None:
            times.stages = answer.stages if times.stages is None else times.stages + answer.stages
        return answer


class Metering:
    """ASGI middleware: counts and times every answer, and writes its stages as a `Server-Timing` header.

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
        begun, times, status = time.perf_counter(), _Times(), CLIENT_CLOSED_REQUEST
        _CURRENT.set(times)

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
            if (refusal := state.get(REFUSAL)) is not None:  # the server's own, in place of an answer from here
                status = int(refusal.status)
            refused = state.get("failure") == FULL
            route = route_of(scope["path"], self._paths)
            self._metrics.answered(route, status, seconds, state.get("text_count"), refused)
            if times.stages is not None and status == HTTPStatus.OK:
                self._metrics.staged(max(0.0, seconds - times.stages.total), times.stages)


def route_of(path: str, paths: Collection[str]) -> str:
    """The label of a path."""
    return path if path in paths else _OTHER


def server_timing(seconds: float, stages: StageTimes | None, status: int) -> str:
    """The header of an answer after so many seconds, in milliseconds (https://www.w3.org/TR/server-timing/).

    `proxy` is what none of the stages took. A failure's time has no stages: which it came to is not known.

    >>> server_timing(0.0105, StageTimes(queue=0.002, encode=0.006), 200)
    'proxy;dur=2.500, queue;dur=2.000, encode;dur=6.000, total;dur=10.500'
    >>> server_timing(0.001, None, 422), server_timing(0.03, None, 504)
    ('proxy;dur=1.000, total;dur=1.000', 'total;dur=30.000')
    """
    parts = [("total", seconds)]
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        spent = [] if stages is None else [(name, value) for name, value in stages.items() if value > 0]
        parts = [("proxy", max(0.0, seconds - sum(value for _, value in spent))), *spent, *parts]
    return ", ".join(f"{name};dur={value * 1000:.3f}" for name, value in parts)


def paths_of(routers: Iterable[APIRouter]) -> set[str]:
    """All of their routes' paths. None of them has a parameter, which could make as many labels as a client likes."""
    return {route.path for router in routers for route in router.routes if isinstance(route, Route)}


def make_metrics_route(metrics: Metrics) -> APIRouter:
    """What Prometheus scrapes: outside of the schema, whose answers are all JSON."""
    routes = APIRouter()

    @routes.get(METRICS, include_in_schema=False)
    async def exposition() -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return routes
