"""The application: routes, errors and middleware put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from proxy.access_log import AccessLog
from proxy.answers import LastResort, install_error_answers
from proxy.api_keys import ApiKeys, describe_keys
from proxy.batching import BatchingEmbedder
from proxy.body_limit import BodyLimit
from proxy.cache import CachingEmbedder
from proxy.embedder import Embedder
from proxy.endpoints import make_cache_route, make_routes
from proxy.engine import TritonEmbedder
from proxy.health import make_health_routes
from proxy.heartbeat import BEAT_SECONDS, Heartbeat
from proxy.invalid_requests import install_invalid_request_answers
from proxy.process_watch import ProcessWatch
from proxy.security_headers import SecurityHeaders
from proxy.settings import Settings
from proxy.triton_client import TritonClient


def create_app(settings: Settings, embedder: Embedder | None = None, beat_seconds: float = BEAT_SECONDS) -> FastAPI:
    """The proxy for these settings, in front of `embedder` or, without one, of the Triton that the settings name.

    `beat_seconds`: between two checks of the engine; with 0 each question for health makes one of its own.
    """
    if embedder is None:
        engine = TritonEmbedder(TritonClient(settings.triton_url), settings.expected_model_name)
        embedder = BatchingEmbedder(engine, settings.calls_in_flight, settings.call_tokens)
        if settings.cache_mb > 0:
            embedder = CachingEmbedder(embedder, ProcessWatch(settings.triton_url), settings.cache_mb)
    heartbeat = Heartbeat(embedder, ProcessWatch(settings.triton_url), settings.deadline_seconds, beat_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Start order does not matter: nothing here waits for Triton.
        await embedder.open()
        await heartbeat.open()
        try:
            yield
        finally:
            await heartbeat.close()
            await embedder.close()

    app = FastAPI(
        title="Sentence embeddings",
        description="Texts to vectors: a sentence-transformers model served by Triton on a CPU.",
        version="1.0.0",
        lifespan=lifespan,
        # The service that this one stands in for took a body without a Content-Type as JSON.
        strict_content_type=False,
    )
    app.include_router(make_routes(embedder, settings.deadline_seconds))
    app.include_router(make_health_routes(heartbeat))
    if isinstance(embedder, CachingEmbedder):
        app.include_router(make_cache_route(embedder))
    install_error_answers(app)
    install_invalid_request_answers(app)

    # The one added last is the outermost: everything is logged, and every answer has its CORS headers.
    app.add_middleware(LastResort)
    app.add_middleware(BodyLimit, max_mib=settings.max_body_mb)
    if keys := settings.api_keys + settings.api_keys_file:
        app.add_middleware(ApiKeys, keys=keys)  # inside of CORS: a browser's preflight brings no key
        describe_keys(app)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_credentials="*" not in settings.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(AccessLog)
    return app
