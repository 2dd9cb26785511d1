"""The shop's backend: `GET /search?q=` asks the service for a vector and PostgreSQL for recipes."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from examples.recipe_search.embedding_client import EmbeddingClient
from examples.recipe_search.errors import RecipeSearchError
from examples.recipe_search.search import LIMIT, search
from examples.recipe_search.settings import Settings
from examples.recipe_search.store import open_store

logger = logging.getLogger(__name__)


class FoundRecipe(BaseModel):
    """A recipe of an answer; its cosine distance from the query, 0 to 2."""

    id: int
    title: str
    description: str
    distance: float


class Answer(BaseModel):
    """The nearest recipe first."""

    query: str
    recipes: list[FoundRecipe]


def create_backend(settings: Settings) -> FastAPI:
    """The application; it starts without service and database, and answers 503 while one of them cannot be had."""
    client = EmbeddingClient(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        client.close()

    app = FastAPI(title="Recipe search", lifespan=lifespan)

    @app.get("/search")
    def find(
        q: Annotated[str, Query(min_length=1, max_length=1000)], limit: Annotated[int, Query(ge=1, le=100)] = LIMIT
    ) -> Answer:
        # A connection for each request keeps the example short; a shop would take a pool (psycopg_pool).
        with open_store(settings.database_url.get_secret_value()) as store:
            found = search(store, client, q, limit)
        return Answer(query=q, recipes=[FoundRecipe(**recipe._asdict()) for recipe in found])

    @app.exception_handler(RecipeSearchError)
    def unavailable(_: Request, error: RecipeSearchError) -> JSONResponse:
        # The reason names addresses: it is for the log, not for customers.
        logger.error("%s: %s", type(error).__name__, error)
        return JSONResponse({"detail": "Recipes cannot be searched at the moment."}, 503, {"Retry-After": "1"})

    return app
