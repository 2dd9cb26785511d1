"""The routes of the contract: JSON to the embedder and back, and nothing else."""

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from proxy.answers import json_answer
from proxy.cache import CachingEmbedder
from proxy.described_errors import BODY, DEADLINE
from proxy.disconnects import unless_disconnected
from proxy.embedder import Embedder
from proxy.schemas import (
    CacheResponse,
    EmbedBatchRequest,
    EmbedBatchResponse,
    EmbedRequest,
    EmbedResponse,
    ModelInfoResponse,
)

_Timeout = Annotated[
    float | None,
    Header(
        alias="x-request-timeout",
        gt=0,
        allow_inf_nan=False,
        description="Seconds after which the client needs no answer; the service's own deadline, where that is sooner.",
        examples=[2.5],
    ),
]


def make_routes(embedder: Embedder, deadline_seconds: float) -> APIRouter:
    """The routes, bound to what answers them. A response is written by hand: its model is for the schema alone."""
    routes = APIRouter()

    def deadline(seconds: float | None = None) -> float:
        seconds = deadline_seconds if seconds is None else min(seconds, deadline_seconds)
        return asyncio.get_running_loop().time() + seconds

    @routes.post(
        "/api/v1/embed",
        summary="Embed one text",
        response_model=EmbedResponse,
        response_description="The text's vector.",
        responses=BODY | DEADLINE,
        tags=["embedding"],
    )
    async def embed(query: EmbedRequest, request: Request, x_request_timeout: _Timeout = None) -> Response:
        """Turns a text into a vector, to be compared with others by cosine similarity: the closer, the more alike."""
        request.state.text_count = 1
        until = deadline(x_request_timeout)
        embeddings = await unless_disconnected(request, embedder.embed([query.text], query.normalize, until))
        model = embeddings.model
        return json_answer({"embedding": embeddings.vectors[0], "dim": model.dimension, "version": model.version})

    @routes.post(
        "/api/v1/embed-batch",
        summary="Embed several texts",
        response_model=EmbedBatchResponse,
        response_description="The texts' vectors, in the order asked.",
        responses=BODY | DEADLINE,
        tags=["embedding"],
    )
    async def embed_batch(query: EmbedBatchRequest, request: Request, x_request_timeout: _Timeout = None) -> Response:
        """Turns each text into the vector that it has alone, in less time than one request for each takes."""
        request.state.text_count = len(query.texts)
        until = deadline(x_request_timeout)
        embeddings = await unless_disconnected(request, embedder.embed(query.texts, query.normalize, until))
        model = embeddings.model
        return json_answer(
            {
                "embeddings": embeddings.vectors,
                "dim": model.dimension,
                "version": model.version,
                "count": len(embeddings.vectors),
            }
        )

    @routes.get(
        "/api/v1/model-info",
        summary="Which model is served",
        response_model=ModelInfoResponse,
        response_description="The model.",
        responses=DEADLINE,
        tags=["model"],
    )
    async def model_info() -> Response:
        """Tells the model's name, the length of its vectors, and the version that they are of."""
        model = await embedder.model(deadline())
        return json_answer(
            {"model_name": model.name, "dimension": model.dimension, "version": model.version, "device": "cpu"}
        )

    return routes


def make_cache_route(cache: CachingEmbedder) -> APIRouter:
    """What the cache did, for those who size it."""
    routes = APIRouter()

    @routes.get(
        "/api/v1/cache",
        summary="What the text cache did",
        response_model=CacheResponse,
        response_description="Counts since the start.",
        tags=["model"],
    )
    async def cache_counts() -> Response:
        """Tells how often texts were answered from memory."""
        return json_answer(asdict(cache.counts))

    return routes
