"""The example's whole story: the real service embeds 2,000 recipes, PostgreSQL finds them, brute force agrees."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import httpx
import psycopg
import pytest
from pydantic import HttpUrl, SecretStr

from bench.texts import Queries
from examples.recipe_search.backend import create_backend
from examples.recipe_search.comparison import TOLERANCE, compare
from examples.recipe_search.embedding_client import EmbeddingClient
from examples.recipe_search.recipes import COUNT, catalogue
from examples.recipe_search.search import search
from examples.recipe_search.settings import Settings
from examples.recipe_search.store import HNSW, RecipeStore, open_store
from tests.integration.conftest import Served
from tests.postgresql import new_database


@dataclass(frozen=True)
class Shop:
    """A database with all recipes in it, and the service that embedded them."""

    settings: Settings
    said: str  # by `index`, on standard output
    progress: str  # and on standard error

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DATABASE_URL": self.settings.database_url.get_secret_value(),
            "ML_INFERENCE_URL": str(self.settings.ml_inference_url),
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "examples.recipe_search", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=600
        )


@pytest.fixture(scope="module")
def shop(postgres: str, real_model: Served) -> Shop:
    url = new_database(postgres, "shop")
    settings = Settings(database_url=SecretStr(url), ml_inference_url=HttpUrl(real_model.service.proxy))
    indexed = Shop(settings, "", "").run("index")
    assert indexed.returncode == 0, indexed.stderr
    return Shop(settings, indexed.stdout, indexed.stderr)


@pytest.fixture
def client(shop: Shop) -> Iterator[EmbeddingClient]:
    with closing(EmbeddingClient(shop.settings)) as opened:
        yield opened


@pytest.fixture
def store(shop: Shop) -> Iterator[RecipeStore]:
    with open_store(shop.settings.database_url.get_secret_value()) as opened:
        yield opened


def test_all_recipes_are_embedded_under_a_progress_bar(shop: Shop, store: RecipeStore, real_model: Served) -> None:
    assert re.search(r"100%.* 2000/2000 .*recipes/s", shop.progress)
    version = httpx.get(f"{real_model.service.proxy}/api/v1/model-info", timeout=30).json()["version"]
    assert shop.said == f"2000 recipes stored, version {version}\n"
    ids, rows = store.vectors()
    assert ids == [recipe.id for recipe in catalogue()]
    texts = [recipe.text for recipe in catalogue()[::500]]
    assert rows[::500] == pytest.approx(real_model.original.encode(texts, normalize_embeddings=True), abs=1e-5)


def test_each_recipe_is_its_own_nearest_neighbour(store: RecipeStore, client: EmbeddingClient) -> None:
    for recipe in catalogue()[:: COUNT // 100]:
        found = search(store, client, recipe.text, limit=3)
        assert found[0].distance == pytest.approx(0, abs=TOLERANCE)
        assert recipe.id in [other.id for other in found if other.distance <= found[0].distance + TOLERANCE]


def test_postgresql_finds_what_brute_force_finds(store: RecipeStore, client: EmbeddingClient) -> None:
    compared = compare(store, client, Queries().take(50), limit=10)
    assert compared.recall == 1
    assert compared.largest_error < TOLERANCE


def test_hnsw_finds_nearly_all_of_it(shop: Shop, store: RecipeStore, client: EmbeddingClient) -> None:
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as other:
        other.execute(HNSW)
        try:
            plan = other.execute(
                "EXPLAIN SELECT id FROM recipes ORDER BY embedding <=> (SELECT embedding FROM recipes LIMIT 1) LIMIT 10"
            )
            assert "Index Scan using recipes_embedding" in str(plan.fetchall())
            compared = compare(store, client, Queries().take(50), limit=10)
        finally:
            other.execute("DROP INDEX recipes_embedding")
    # Its graph is drawn by chance: 0.99 and more were seen, and 1 often.
    assert compared.recall > 0.9
    assert compared.largest_error < TOLERANCE


def test_the_commands(shop: Shop) -> None:
    found = shop.run("search", catalogue()[0].text, "--limit", "2")
    assert (found.returncode, found.stderr) == (0, "")
    assert re.fullmatch(r"-?0\.0000  갈비탕\n0\.\d{4}  .+\n", found.stdout)
    compared = shop.run("compare")
    assert compared.stdout.startswith("50 queries, 10 recipes each: recall 1.000, distances within ")
    refused = shop.run("search", "")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "error: the embedding service answered 422: String should have at least 1 character.\n"


def test_the_backend(shop: Shop, store: RecipeStore, client: EmbeddingClient) -> None:
    app = create_backend(shop.settings)

    async def get(**parameters: str | int) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as asked:
            return await asked.get("/search", params=parameters)

    answer = asyncio.run(get(q="얼큰한 찌개", limit=5))
    assert answer.status_code == 200
    assert answer.json()["query"] == "얼큰한 찌개"
    expected = [recipe._asdict() for recipe in search(store, client, "얼큰한 찌개", 5)]
    for recipe, found in zip(answer.json()["recipes"], expected, strict=True):
        assert recipe == found | {"distance": pytest.approx(found["distance"], abs=TOLERANCE)}
    assert asyncio.run(get(q="")).status_code == 422

    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as other:
        other.execute("UPDATE recipes SET version = 'another ' || version")
        try:
            refused = asyncio.run(get(q="얼큰한 찌개"))
        finally:
            other.execute("UPDATE recipes SET version = replace(version, 'another ', '')")
    assert refused.status_code == 503
    assert refused.json() == {"detail": "Recipes cannot be searched at the moment."}
