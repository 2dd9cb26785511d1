"""The routes of the contract: JSON to the embedder and back, and nothing else."""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from proxy.answers import json_answer
from proxy.cache import CachingEmbedder
from proxy.disconnects import unless_disconnected
from proxy.embedder import Embedder
from proxy.schemas import (
    CacheResponse,
    EmbedBatchRequest,
    EmbedBatchResponse,
    EmbedRequest,
    EmbedResponse,
    ErrorResponse,
    ModelInfoResponse,
)

UNAVAILABLE: dict[str, Any] = {
    "model": ErrorResponse,
    "description": "The engine is not ready, away or overloaded.",
    "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}},
}
_FAILURES: dict[int | str, dict[str, Any]] = {
    500: {"model": ErrorResponse, "description": "Any other failure."},
    503: UNAVAILABLE,
    504: {"model": ErrorResponse, "description": "The deadline passed."},
}
_BODY_FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body is not UTF-8."},
    413: {"model": ErrorResponse, "description": "The body is larger than the limit."},
    **_FAILURES,
}


def make_routes(embedder: Embedder, deadline_seconds: float) -> APIRouter:
    """The routes, bound to what answers them. A response is written by hand: its model is for the schema alone."""
    routes = APIRouter()

    def deadline() -> float:
        return asyncio.get_running_loop().time() + deadline_seconds

    @routes.post("/api/v1/embed", response_model=EmbedResponse, responses=_BODY_FAILURES, tags=["embedding"])
    async def embed(query: EmbedRequest, request: Request) -> Response:
        """Embeds one text."""
        request.state.text_count = 1
        embeddings = await unless_disconnected(request, embedder.embed([query.text], query.normalize, deadline()))
        model = embeddings.model
        return json_answer({"embedding": embeddings.vectors[0], "dim": model.dimension, "version": model.version})

    @routes.post("/api/v1/embed-batch", response_model=EmbedBatchResponse, responses=_BODY_FAILURES, tags=["embedding"])
    async def embed_batch(query: EmbedBatchRequest, request: Request) -> Response:
        """Embeds several texts at once."""
        request.state.text_count = len(query.texts)
        embeddings = await unless_disconnected(request, embedder.embed(query.texts, query.normalize, deadline()))
        model = embeddings.model
        return json_answer(
            {
                "embeddings": embeddings.vectors,
                "dim": model.dimension,
                "version": model.version,
                "count": len(embeddings.vectors),
            }
        )

    @routes.get("/api/v1/model-info", response_model=ModelInfoResponse, responses=_FAILURES, tags=["model"])
    async def model_info() -> Response:
        """Tells which model is served."""
        model = await embedder.model(deadline())
        return json_answer(
            {"model_name": model.name, "dimension": model.dimension, "version": model.version, "device": "cpu"}
        )

    return routes


def make_cache_route(cache: CachingEmbedder) -> APIRouter:
    """What the cache did, for those who size it."""
    routes = APIRouter()

    @routes.get("/api/v1/cache", response_model=CacheResponse, tags=["model"])
    async def cache_counts() -> Response:
        """Tells how often texts were answered from memory."""
        return json_answer(asdict(cache.counts))

    return routes
