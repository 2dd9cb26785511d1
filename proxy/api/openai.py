"""OpenAI's routes, for its clients: its JSON to the embedder and back."""

import base64
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray

from proxy.api.disconnects import unless_disconnected
from proxy.api.json_bodies import BoundedRoute
from proxy.api.openai_errors import OPENAI_ANYWHERE, OPENAI_MODEL, model_not_found
from proxy.api.request_time import RequestTimeout, deadline_in
from proxy.api.schemas.embed import fill_in
from proxy.api.schemas.openai import EmbeddingsRequest, EmbeddingsResponse, ModelsResponse
from proxy.api.truncation import Truncate, places_in, refuse_truncated, truncation_side
from proxy.contract import MAX_TEXTS
from proxy.embedding.base import Embedder, Embeddings, Text, TruncationSide, join
from proxy.embedding.model import ServedModel
from proxy.errors import InvalidText
from proxy.responses import json_answer


class EmbeddingsQuery(Protocol):
    """OpenAI's request, however it was parsed."""

    model: str
    encoding_format: Literal["float", "base64"] | None
    dimensions: int | None
    truncate: Truncate


class OpenAIEmbeddings:
    """Answers OpenAI's request for embeddings."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        # What was served last: a request that it fits needs no question to the engine.
        self._seen: ServedModel | None = None

    async def answer(self, query: EmbeddingsQuery, texts: list[Text], until: float) -> dict[str, Any]:
        """The answer. Raises `EmbeddingError`, `RequestValidationError`, and `HTTPException` for another model."""
        await self._refuse_what_does_not_fit(query, until)
        places: list[list[str | int]] = [["input"]] if len(texts) == 1 else places_in("input", texts)
        try:
            answer = await _embed_in_parts(self._embedder, texts, until, truncation_side(query.truncate))
        except InvalidText as error:
            place = places[texts.index(error.text)] if error.text in texts else ["input"]
            raise RequestValidationError(
                [{"type": "value_error", "loc": ["body", *place], "msg": str(error)}]
            ) from error
        self._seen = answer.model
        if misfit := _misfit(query, self._seen):  # another model came meanwhile
            raise misfit
        refuse_truncated(query.truncate, answer, places, texts)
        return _written(answer, query.dimensions, query.encoding_format == "base64")

    async def _refuse_what_does_not_fit(self, query: EmbeddingsQuery, until: float) -> None:
        if self._seen is None or _misfit(query, self._seen):
            self._seen = await self._embedder.model(until)
        if misfit := _misfit(query, self._seen):
            raise misfit


def make_openai_routes(embedder: Embedder, answering: OpenAIEmbeddings, deadline_seconds: float) -> APIRouter:
    """The routes, bound to what answers them. A response is written by hand: its model is for the schema alone."""
    routes = APIRouter(prefix="/v1", route_class=BoundedRoute, tags=["openai"], responses=OPENAI_ANYWHERE)

    @routes.post(
        "/embeddings",
        summary="Embed texts, as OpenAI does",
        response_model=EmbeddingsResponse,
        response_description="The vectors, of unit length, in the order asked.",
        responses=OPENAI_MODEL,
        openapi_extra=fill_in(input=["갈비탕", "김치찌개"], model="paraphrase-multilingual-MiniLM-L12-v2"),
    )
    async def embeddings(
        query: EmbeddingsRequest, request: Request, x_request_timeout: RequestTimeout = None
    ) -> Response:
        """Takes what clients of OpenAI's send, and answers as it does. `/api/v1/embed-batch` gives the same vectors."""
        request.state.text_count = len(query.input)
        until = deadline_in(x_request_timeout, deadline_seconds)
        work = answering.answer(query, query.input, until)
        return json_answer(await unless_disconnected(request.receive, work))

    @routes.get(
        "/models",
        summary="Which model is served, as OpenAI tells it",
        response_model=ModelsResponse,
        response_description="A list of one model.",
    )
    async def models() -> Response:
        """Tells the one model that `/v1/embeddings` embeds with."""
        model = await embedder.model(deadline_in(None, deadline_seconds))
        served = {
            "id": model.name,
            "object": "model",
            "created": 0,
            "owned_by": "self-hosted",
            "version": model.version,
        }
        return json_answer({"object": "list", "data": [served]})

    return routes


def _misfit(query: EmbeddingsQuery, model: ServedModel) -> Exception | None:
    """What is wrong with asking this model: its name, or more dimensions than it has."""
    if query.model.rpartition("/")[2] != model.name:
        return HTTPException(404, model_not_found(query.model, model.name))
    if query.dimensions is not None and not 1 <= query.dimensions <= model.dimension:
        sentence = f"Input should be from 1 to {model.dimension}, the model's own"
        return RequestValidationError([{"type": "out_of_range", "loc": ["body", "dimensions"], "msg": sentence}])
    return None


async def _embed_in_parts(
    embedder: Embedder, texts: Sequence[Text], deadline: float, truncation: TruncationSide
) -> Embeddings:
    """One part of at most `MAX_TEXTS` after another, so that a long list holds no more places than a batch.

    Where another model comes in the middle, it begins again with that one, until the deadline.
    """
    parts: list[Embeddings] = []
    while (start := len(parts) * MAX_TEXTS) < len(texts):
        part = await embedder.embed(texts[start : start + MAX_TEXTS], True, deadline, truncation)
        parts = [*parts, part] if not parts or part.model == parts[0].model else []
    return join(parts)


def _written(answer: Embeddings, dimensions: int | None, as_base64: bool) -> dict[str, Any]:
    """OpenAI's answer."""
    vectors = shorten(answer.vectors, dimensions or answer.model.dimension)
    tokens = int(np.minimum(answer.token_counts, answer.model.max_seq_length).sum())
    rows = [base64.b64encode(row.astype("<f4").tobytes()).decode() if as_base64 else row for row in vectors]
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(rows)],
        "model": answer.model.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "version": answer.model.version,
    }


def shorten(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """The first `dimensions` components of unit vectors `[N, D]`, made unit length again; zeros stay zeros.

    >>> shorten(np.array([[0.6, 0.0, 0.8]], np.float32), 2).tolist()
    [[1.0, 0.0]]
    """
    if dimensions == vectors.shape[1]:
        return vectors
    short = vectors[:, :dimensions]
    lengths = np.linalg.norm(short.astype(np.float64), axis=1, keepdims=True)
    unit: NDArray[np.float32] = (short / np.where(lengths == 0, 1, lengths)).astype(np.float32)
    return unit
