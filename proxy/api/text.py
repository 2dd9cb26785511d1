"""What the original service had not: token ids of texts, and how alike texts are."""

import numpy as np
from fastapi import APIRouter, Request, Response

from proxy.api.disconnects import unless_disconnected
from proxy.api.docs.described_errors import BODY, DEADLINE
from proxy.api.json_bodies import BoundedRoute
from proxy.api.request_time import RequestTimeout, deadline_in
from proxy.api.schemas.embed import FOOD, fill_in
from proxy.api.schemas.text import SimilarityRequest, SimilarityResponse, TokenizeRequest, TokenizeResponse
from proxy.api.truncation import places_in, refuse_truncated, truncation_side
from proxy.embedding.base import Embedder
from proxy.responses import json_answer


def make_text_routes(embedder: Embedder, deadline_seconds: float) -> APIRouter:
    """The routes, bound to what answers them. A response is written by hand: its model is for the schema alone."""
    routes = APIRouter(route_class=BoundedRoute)

    @routes.post(
        "/api/v1/tokenize",
        summary="Texts as the model sees them",
        response_model=TokenizeResponse,
        response_description="The texts' token ids, in the order asked.",
        responses=BODY | DEADLINE,
        openapi_extra=fill_in(texts=FOOD),
        tags=["embedding"],
    )
    async def tokenize(query: TokenizeRequest, request: Request, x_request_timeout: RequestTimeout = None) -> Response:
        """Tells the token ids of each text, how many tokens it has, and whether the model sees all of them."""
        texts = query.texts or [query.text or ""]
        request.state.text_count = len(texts)
        until = deadline_in(x_request_timeout, deadline_seconds)
        work = embedder.tokenize(texts, until, query.truncate, query.special_tokens)
        tokens = await unless_disconnected(request.receive, work)
        return json_answer(
            {
                "ids": tokens.ids,
                "tokens": tokens.token_counts,
                "truncated": tokens.truncated,
                "version": tokens.model.version,
                "count": len(tokens.ids),
            }
        )

    @routes.post(
        "/api/v1/similarity",
        summary="Compare a query with texts",
        response_model=SimilarityResponse,
        response_description="The similarities, in the order of the texts.",
        responses=BODY | DEADLINE,
        tags=["embedding"],
    )
    async def similarity(
        query: SimilarityRequest, request: Request, x_request_timeout: RequestTimeout = None
    ) -> Response:
        """Tells how alike a query and each text are, as the cosine of their vectors."""
        texts = [query.query, *query.texts]
        request.state.text_count = len(texts)
        until = deadline_in(x_request_timeout, deadline_seconds)
        work = embedder.embed(texts, True, until, truncation_side(query.truncate))
        embeddings = await unless_disconnected(request.receive, work)
        refuse_truncated(query.truncate, embeddings, [["query"], *places_in("texts", query.texts)], texts)
        # Unit vectors: the dot product is the cosine, but for a rounding that could take it past 1.
        vectors = embeddings.vectors.astype(np.float64)
        cosines = np.clip(vectors[1:] @ vectors[0], -1, 1).astype(np.float32)
        return json_answer({"similarities": cosines, "version": embeddings.model.version, "count": len(query.texts)})

    return routes
