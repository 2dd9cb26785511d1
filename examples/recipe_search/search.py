"""The two things that a shop's backend does: embed its catalogue once, and embed each query to find recipes for it."""

from examples.recipe_search.embedding_client import EmbeddingClient
from examples.recipe_search.recipes import catalogue
from examples.recipe_search.store import Found, RecipeStore, require_dimension

LIMIT = 10


def index(
    store: RecipeStore, client: EmbeddingClient, hnsw: bool = False, show_progress: bool = False
) -> tuple[int, str]:
    """Embeds the catalogue and stores it, in place of what was there; how many recipes, and their vectors' version.

    Nothing is stored before all is embedded. Raises the errors of `EmbeddingClient` and `RecipeStore`.
    """
    store.prepare()
    recipes = catalogue()
    require_dimension(client.embed(recipes[0].text).rows)  # rather than after minutes of embedding
    vectors = client.embed_all([recipe.text for recipe in recipes], show_progress)
    store.replace(recipes, vectors.rows, vectors.version, hnsw)
    return len(recipes), vectors.version


def search(store: RecipeStore, client: EmbeddingClient, query: str, limit: int = LIMIT) -> list[Found]:
    """The recipes nearest to a query of 1 to 1,000 characters, the nearest first. Raises the errors of both."""
    vectors = client.embed(query)
    return store.nearest(vectors.rows[0], vectors.version, limit)
