"""The application: routes, errors and middleware put together."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from proxy.api.answers import install_error_answers
from proxy.api.docs.described_errors import ANYWHERE
from proxy.api.docs.description import TAGS, describe
from proxy.api.docs.keys import describe_keys
from proxy.api.docs.pages import add_pages
from proxy.api.embed import make_cache_route, make_routes
from proxy.api.fast_routes import FastRoutes
from proxy.api.health import make_health_routes
from proxy.api.invalid_requests import install_invalid_request_answers
from proxy.api.metrics import make_metrics_route
from proxy.api.openai import OpenAIEmbeddings, make_openai_routes
from proxy.api.openai_errors import OpenAIErrors, error_body
from proxy.api.text import make_text_routes
from proxy.contract import SCHEMA
from proxy.embedding.admission import AdmittingEmbedder
from proxy.embedding.base import Embedder
from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.cache import CachingEmbedder
from proxy.embedding.deadline import DeadlineEmbedder
from proxy.embedding.heartbeat import BEAT_SECONDS, Heartbeat
from proxy.middleware.api_keys import ApiKeys
from proxy.middleware.bodies_in_hand import BodiesInHand
from proxy.middleware.body_limit import BodyLimit
from proxy.middleware.catch_all import CatchAll
from proxy.middleware.content_coding import ContentCoding
from proxy.middleware.cross_origin import CrossOrigin
from proxy.middleware.observe import Observe, paths_of
from proxy.middleware.paths_and_methods import ExtraSlashes, HeadAsGet
from proxy.middleware.security_headers import SecurityHeaders
from proxy.middleware.server_refusals import ServerRefusals
from proxy.refusals import REFUSALS
from proxy.server.stopping import Stopping
from proxy.settings import Settings
from proxy.telemetry.metering import MeteringEmbedder
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.tracing import OFF, Tracing
from proxy.triton.client import TritonClient
from proxy.triton.engine import TritonEmbedder
from proxy.triton.process_watch import ProcessWatch

# Of the deadline, what the texts in hand may take: a batch waits longer than the single texts that pass it.
_PATIENCE = 0.25
# As many of the largest bodies are in memory at one time; what is made of each takes a few times as much.
_BODIES_IN_HAND = 4


def create_app(
    settings: Settings,
    embedder: Embedder | None = None,
    beat_seconds: float = BEAT_SECONDS,
    tracing: Tracing | None = None,
) -> FastAPI:
    """The proxy for these settings, in front of `embedder` or, without one, of the Triton that the settings name.

    `beat_seconds`: between two checks of the engine; with 0 each question for health makes one of its own.
    `tracing`: where spans go; without one there are none. It is closed with the application.
    """
    metrics = Metrics()
    admitting: AdmittingEmbedder | None = None
    asks_triton = embedder is None
    if embedder is None:
        engine = TritonEmbedder(
            TritonClient(settings.triton_url, tracing.tracer if tracing else None), settings.expected_model_name
        )
        batching = BatchingEmbedder(engine, settings.calls_in_flight, settings.call_tokens, metrics.called)
        embedder = admitting = AdmittingEmbedder(
            batching, settings.max_texts_in_hand, settings.deadline_seconds * _PATIENCE
        )
        if settings.cache_mb > 0:
            embedder = CachingEmbedder(admitting, settings.cache_mb)
    cache = embedder if isinstance(embedder, CachingEmbedder) else None
    watch = ProcessWatch(settings.triton_url, cache.engine_ended) if cache else ProcessWatch(settings.triton_url)
    heartbeat = Heartbeat(embedder, watch, settings.deadline_seconds, beat_seconds)
    metrics.watch(heartbeat, admitting, cache)
    embedder = MeteringEmbedder(DeadlineEmbedder(embedder), metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        # Start order does not matter: nothing here waits for Triton.
        await embedder.open()
        if asks_triton:
            await watch.open()
        await heartbeat.open()
        try:
            yield {REFUSALS: ServerRefusals(metrics, paths, error_body)}
        finally:
            await heartbeat.close()
            await watch.close()
            await embedder.close()
            if tracing is not None:
                await tracing.close()

    app = FastAPI(
        title="Sentence embeddings",
        description=describe(settings),
        version="1.0.0",
        openapi_tags=TAGS,
        responses=ANYWHERE,
        lifespan=lifespan,
        telemetry=OFF if tracing is None else tracing.telemetry(),
        # The service that this one stands in for took a body without a Content-Type as JSON.
        strict_content_type=False,
        # A redirect would take the client's Host and lose a reverse proxy's prefix; `ExtraSlashes` needs none.
        redirect_slashes=False,
        openapi_url=SCHEMA,
        docs_url=None,
        redoc_url=None,
        # Where the schema is, so that a reverse proxy's prefix is kept: /ml/openapi.json, /ml/api/v1/embed.
        servers=[{"url": ".", "description": "The service that this page comes from."}],
    )
    add_pages(app)
    openai = OpenAIEmbeddings(embedder)
    routers = [
        make_routes(embedder, settings.deadline_seconds),
        make_text_routes(embedder, settings.deadline_seconds),
        make_openai_routes(embedder, openai, settings.deadline_seconds),
        make_health_routes(heartbeat),
        make_metrics_route(metrics),
    ]
    if cache is not None:
        routers.append(make_cache_route(cache))
    for router in routers:
        app.include_router(router)
    paths = paths_of(routers)
    install_error_answers(app)
    install_invalid_request_answers(app)

    # The one added last is the outermost: everything is logged, and every answer has its CORS headers.
    if tracing is None:  # FastAPI makes the spans of requests
        app.add_middleware(
            FastRoutes,
            embedder=embedder,
            openai=openai,
            deadline_seconds=settings.deadline_seconds,
            handlers=app.exception_handlers,
            admitting=admitting,
            cache=cache,
        )
    app.add_middleware(CatchAll)
    bodies = BodiesInHand(_BODIES_IN_HAND * settings.max_body_mb)
    app.add_middleware(ContentCoding, max_mib=settings.max_body_mb, bodies=bodies)
    app.add_middleware(BodyLimit, max_mib=settings.max_body_mb, bodies=bodies)
    if keys := settings.api_keys + settings.api_keys_file:
        app.add_middleware(ApiKeys, keys=keys)  # inside of CORS: a browser's preflight brings no key
        describe_keys(app)
    app.add_middleware(Stopping)
    app.add_middleware(OpenAIErrors)
    app.add_middleware(
        CrossOrigin,
        allow_origins=settings.cors_origins,
        allow_credentials="*" not in settings.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Observe, metrics=metrics, paths=paths)
    app.add_middleware(ExtraSlashes)
    return app
