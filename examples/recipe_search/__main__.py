"""`python -m examples.recipe_search index|search|compare|serve`; see README.md beside this file."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing

import uvicorn
from pydantic import ValidationError

from bench.texts import Queries
from examples.recipe_search.backend import create_backend
from examples.recipe_search.comparison import compare
from examples.recipe_search.embedding_client import EmbeddingClient
from examples.recipe_search.errors import RecipeSearchError
from examples.recipe_search.search import LIMIT, index, search
from examples.recipe_search.settings import Settings
from examples.recipe_search.store import open_store

QUERIES = 50


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m examples.recipe_search", description="A recipe search with pgvector.")
    commands = top.add_subparsers(dest="command", required=True)
    indexing = commands.add_parser("index", help="embed the 2,000 recipes and store them")
    indexing.add_argument("--hnsw", action="store_true", help="search with an HNSW index: for many rows, not exact")
    searching = commands.add_parser("search", help="find recipes for a query")
    searching.add_argument("query")
    searching.add_argument("--limit", type=limit, default=LIMIT, help=f"how many, {LIMIT} if not said")
    commands.add_parser("compare", help=f"compare what {QUERIES} queries find with brute force")
    serving = commands.add_parser("serve", help="run the backend with GET /search?q=")
    serving.add_argument("--port", type=int, default=8010)
    return top


def limit(value: str) -> int:
    """An argument from 1 to 100."""
    if not (value.isdecimal() and 1 <= int(value) <= 100):
        raise argparse.ArgumentTypeError(f"{value} is not a number from 1 to 100")
    return int(value)


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Raises `RecipeSearchError`."""
    if options.command == "serve":
        uvicorn.run(create_backend(settings), host="127.0.0.1", port=options.port)
        return
    with (
        open_store(settings.database_url.get_secret_value()) as store,
        closing(EmbeddingClient(settings)) as client,
    ):
        if options.command == "index":
            count, version = index(store, client, options.hnsw, show_progress=True)
            print(f"{count} recipes stored, version {version}")
        elif options.command == "search":
            for recipe in search(store, client, options.query, options.limit):
                print(f"{recipe.distance:.4f}  {recipe.title}")
        else:
            result = compare(store, client, Queries().take(QUERIES))
            print(
                f"{QUERIES} queries, {LIMIT} recipes each: recall {result.recall:.3f}, distances within "
                f"{result.largest_error:.0e} of brute force, PostgreSQL's answer in {result.milliseconds:.1f} ms"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 the service or the database, 2 a bad setting or argument."""
    options = parser().parse_args(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            print(f"error: {str(problem['loc'][0]).upper()}: {problem['msg']}.", file=sys.stderr)
        return 2
    try:
        run(options, settings)
    except RecipeSearchError as error:
        print(f"error: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
