"""The routes of the contract: JSON to the embedder and back, and nothing else."""

from dataclasses import asdict
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response

from proxy.api.disconnects import unless_disconnected
from proxy.api.docs.described_errors import BODY, DEADLINE
from proxy.api.json_bodies import BoundedRoute
from proxy.api.request_time import RequestTimeout, deadline_in
from proxy.api.schemas.embed import (
    FOOD,
    CacheResponse,
    EmbedBatchRequest,
    EmbedBatchResponse,
    EmbedRequest,
    EmbedResponse,
    ModelInfoResponse,
    fill_in,
)
from proxy.api.truncation import Truncate, places_in, refuse_truncated, token_fields, truncation_side
from proxy.contract import EMBED, EMBED_BATCH
from proxy.embedding.base import Embedder
from proxy.embedding.cache import CachingEmbedder
from proxy.responses import json_answer


class TextQuery(Protocol):
    """A request for the vector of one text, however it was parsed."""

    text: str
    normalize: bool
    truncate: Truncate
    return_tokens: bool


class TextsQuery(Protocol):
    """A request for the vectors of several texts, however it was parsed."""

    texts: list[str]
    normalize: bool
    truncate: Truncate
    return_tokens: bool


async def embed_text(embedder: Embedder, query: TextQuery, until: float) -> dict[str, Any]:
    """The answer to a request for one text. Raises `EmbeddingError` and `RequestValidationError`."""
    embeddings = await embedder.embed([query.text], query.normalize, until, truncation_side(query.truncate))
    refuse_truncated(query.truncate, embeddings, [["text"]], [query.text])
    model = embeddings.model
    return {
        "embedding": embeddings.vectors[0],
        "dim": model.dimension,
        "version": model.version,
        **{name: values[0].item() for name, values in token_fields(query.return_tokens, embeddings).items()},
    }


async def embed_texts(embedder: Embedder, query: TextsQuery, until: float) -> dict[str, Any]:
    """The answer to a request for several texts. Raises `EmbeddingError` and `RequestValidationError`."""
    embeddings = await embedder.embed(query.texts, query.normalize, until, truncation_side(query.truncate))
    refuse_truncated(query.truncate, embeddings, places_in("texts", query.texts), query.texts)
    model = embeddings.model
    return {
        "embeddings": embeddings.vectors,
        "dim": model.dimension,
        "version": model.version,
        "count": len(embeddings.vectors),
        **token_fields(query.return_tokens, embeddings),
    }


def make_routes(embedder: Embedder, deadline_seconds: float) -> APIRouter:
    """The routes, bound to what answers them. A response is written by hand: its model is for the schema alone."""
    routes = APIRouter(route_class=BoundedRoute)

    @routes.post(
        EMBED,
        summary="Embed one text",
        response_model=EmbedResponse,
        response_description="The text's vector.",
        responses=BODY | DEADLINE,
        openapi_extra=fill_in(text="갈비탕", normalize=True),
        tags=["embedding"],
    )
    async def embed(query: EmbedRequest, request: Request, x_request_timeout: RequestTimeout = None) -> Response:
        """Turns a text into a vector, to be compared with others by cosine similarity: the closer, the more alike."""
        request.state.text_count = 1
        work = embed_text(embedder, query, deadline_in(x_request_timeout, deadline_seconds))
        return json_answer(await unless_disconnected(request.receive, work))

    @routes.post(
        EMBED_BATCH,
        summary="Embed several texts",
        response_model=EmbedBatchResponse,
        response_description="The texts' vectors, in the order asked.",
        responses=BODY | DEADLINE,
        openapi_extra=fill_in(texts=FOOD, normalize=True),
        tags=["embedding"],
    )
    async def embed_batch(
        query: EmbedBatchRequest, request: Request, x_request_timeout: RequestTimeout = None
    ) -> Response:
        """Turns each text into the vector that it has alone, in less time than one request for each takes."""
        request.state.text_count = len(query.texts)
        work = embed_texts(embedder, query, deadline_in(x_request_timeout, deadline_seconds))
        return json_answer(await unless_disconnected(request.receive, work))

    @routes.get(
        "/api/v1/model-info",
        summary="Which model is served",
        response_model=ModelInfoResponse,
        response_description="The model.",
        responses=DEADLINE,
        tags=["model"],
    )
    async def model_info() -> Response:
        """Tells the model's name, the length of its vectors, the version that they are of, and its default prompt."""
        model = await embedder.model(deadline_in(None, deadline_seconds))
        return json_answer(
            {
                "model_name": model.name,
                "dimension": model.dimension,
                "version": model.version,
                "device": "cpu",
                **({"prompt": model.prompt} if model.prompt else {}),
            }
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
