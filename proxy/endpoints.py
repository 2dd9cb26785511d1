"""The routes of the contract: JSON to the embedder and back, and nothing else."""

import asyncio
from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from proxy.answers import failure, json_answer
from proxy.cache import CachingEmbedder
from proxy.described_errors import BODY, DEADLINE
from proxy.disconnects import unless_disconnected
from proxy.embedder import Embedder
from proxy.errors import EmbeddingError
from proxy.schemas import (
    CacheResponse,
    EmbedBatchRequest,
    EmbedBatchResponse,
    EmbedRequest,
    EmbedResponse,
    HealthResponse,
    ModelInfoResponse,
)

# A health check is there to be quick; compose's and Kubernetes' own limits are of this order.
_HEALTH_SECONDS = 5.0


def make_routes(embedder: Embedder, deadline_seconds: float) -> APIRouter:
    """The routes, bound to what answers them. A response is written by hand: its model is for the schema alone."""
    routes = APIRouter()

    def deadline(seconds: float = deadline_seconds) -> float:
        return asyncio.get_running_loop().time() + seconds

    @routes.post(
        "/api/v1/embed",
        summary="Embed one text",
        response_model=EmbedResponse,
        response_description="The text's vector.",
        responses=BODY | DEADLINE,
        tags=["embedding"],
    )
    async def embed(query: EmbedRequest, request: Request) -> Response:
        """Turns a text into a vector, to be compared with others by cosine similarity: the closer, the more alike."""
        request.state.text_count = 1
        embeddings = await unless_disconnected(request, embedder.embed([query.text], query.normalize, deadline()))
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
    async def embed_batch(query: EmbedBatchRequest, request: Request) -> Response:
        """Turns each text into the vector that it has alone, in less time than one request for each takes."""
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

    @routes.get(
        "/health",
        summary="Whether a text can be embedded now",
        response_model=HealthResponse,
        response_description="A text sent now would be embedded.",
        tags=["model"],
    )
    async def health(request: Request) -> Response:
        """Says ok only while a text sent now would be embedded, and else 503. Asks for no API key."""
        try:
            model = await embedder.check(deadline(min(_HEALTH_SECONDS, deadline_seconds)))
        except EmbeddingError as error:
            # Whatever the reason, the answer to "are you well" is one status.
            request.state.failure = str(error)
            return failure(str(error), 503)
        return json_answer({"status": "ok", "model": model.name, "dim": model.dimension, "version": model.version})

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
