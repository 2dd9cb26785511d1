"""The recipes and their vectors in PostgreSQL, found again by cosine distance (pgvector's operator `<=>`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector

from examples.recipe_search.errors import (
    DatabaseFailed,
    DatabaseUnavailable,
    NotIndexed,
    PgvectorMissing,
    VersionMismatch,
    WrongDimension,
)
from examples.recipe_search.recipes import Recipe

DIMENSION = 384  # of both MiniLM models' vectors; the column's type has it
CONNECT_SECONDS = 5

# A search compares the query with every row. That is exact, and for thousands of rows takes milliseconds; `HNSW` is for
# many more, and now and then misses one of the nearest.
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS recipes (
    id integer PRIMARY KEY,
    title text NOT NULL,
    description text NOT NULL,
    embedding vector({DIMENSION}) NOT NULL,
    version text NOT NULL
);
CREATE INDEX IF NOT EXISTS recipes_version ON recipes (version);
"""
HNSW = "CREATE INDEX recipes_embedding ON recipes USING hnsw (embedding vector_cosine_ops)"
NO_HNSW = "DROP INDEX IF EXISTS recipes_embedding"


class Found(NamedTuple):
    """A recipe, and the cosine distance of its vector from the query's: 0 the same direction, 1 at a right angle."""

    id: int
    title: str
    description: str
    distance: float


@contextmanager
def open_store(database_url: str) -> Iterator["RecipeStore"]:
    """The recipes of a database, over a connection of its own. Raises `DatabaseUnavailable`."""
    try:
        connection = psycopg.connect(database_url, connect_timeout=CONNECT_SECONDS, autocommit=True)
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"no database ({_first_line(error)}): start PostgreSQL, `createdb recipes`, or set DATABASE_URL"
        ) from None
    with connection:
        # One snapshot for a whole transaction: the version that is checked is that of the rows that are found.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield RecipeStore(connection)


def require_dimension(vectors: NDArray[np.float32]) -> None:
    """That vectors, `[..., D]`, fit into the table. Raises `WrongDimension`."""
    if vectors.shape[-1] != DIMENSION:
        raise WrongDimension(
            f"the service's vectors have {vectors.shape[-1]} dimensions, and the table takes {DIMENSION}: serve "
            "another model, or change DIMENSION in store.py and drop the table"
        )


class RecipeStore:
    """Every row's vector is of one version: `replace` changes them all at once, and `nearest` refuses any other.

    Methods raise `DatabaseFailed` for what PostgreSQL does not do.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._knows_vectors = False

    def prepare(self) -> None:
        """Creates what is missing: the extension, the table. Raises `PgvectorMissing`."""
        with _failures():
            try:
                self._connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            except (psycopg.errors.UndefinedFile, psycopg.errors.FeatureNotSupported):
                release = self._connection.info.server_version // 10_000
                raise PgvectorMissing(
                    f"PostgreSQL {release} has no pgvector: install postgresql-{release}-pgvector (Debian's package)"
                ) from None
            except psycopg.errors.InsufficientPrivilege:
                raise PgvectorMissing(
                    "this user may not add pgvector to the database: let a superuser run CREATE EXTENSION vector there"
                ) from None
            self._connection.execute(SCHEMA)

    def replace(self, recipes: Sequence[Recipe], rows: NDArray[np.float32], version: str, hnsw: bool = False) -> None:
        """Makes these the recipes that are found, all of them or none; `rows` are their vectors `[N, 384]`.

        Raises `WrongDimension`.
        """
        require_dimension(rows)
        statement = """
            INSERT INTO recipes (id, title, description, embedding, version) VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (id) DO UPDATE SET title = EXCLUDED.title, description = EXCLUDED.description,
                embedding = EXCLUDED.embedding, version = EXCLUDED.version
        """
        with _failures():
            self._learn_vectors()
            with self._connection.transaction(), self._connection.cursor() as cursor:
                # Of two that index at the same time the second waits, so that their rows are not mixed.
                cursor.execute("LOCK TABLE recipes IN SHARE ROW EXCLUSIVE MODE")
                cursor.execute(NO_HNSW)
                cursor.executemany(
                    statement,
                    [(*recipe, vector, version) for recipe, vector in zip(recipes, rows, strict=True)],
                )
                cursor.execute("DELETE FROM recipes WHERE id <> ALL(%s)", ([recipe.id for recipe in recipes],))
                if hnsw:
                    cursor.execute(HNSW)
            self._connection.execute("ANALYZE recipes")

    def nearest(self, vector: NDArray[np.float32], version: str, limit: int) -> list[Found]:
        """The `limit` recipes nearest to a vector `[384]` of `version`, the nearest first.

        Raises `NotIndexed`, `WrongDimension`, and `VersionMismatch` where even one row is of another version.
        """
        with _failures(), self._connection.transaction():
            self._require(version)
            require_dimension(vector)
            found = self._connection.execute(
                """
                SELECT id, title, description, embedding <=> %s AS distance FROM recipes ORDER BY distance LIMIT %s
                """,
                (vector, limit),
            )
            return [Found(*row) for row in found]

    def vectors(self) -> tuple[list[int], NDArray[np.float32]]:
        """The ids of all recipes and their vectors, `[N, 384]`. Raises `NotIndexed`."""
        with _failures(), self._connection.transaction():
            self._require(None)
            rows = self._connection.execute("SELECT id, embedding FROM recipes ORDER BY id").fetchall()
            return [row[0] for row in rows], np.stack([row[1].to_numpy() for row in rows])

    def _require(self, version: str | None) -> None:
        """That there are recipes, and all of `version`, or of any where it is None. Least and greatest come from the
        index on the column: no row is read for them."""
        missing = "there are no recipes in the database: run `index` first"
        try:
            self._learn_vectors()
            row = self._connection.execute("SELECT min(version), max(version) FROM recipes").fetchone()
        except psycopg.ProgrammingError as error:
            if isinstance(error, psycopg.errors.UndefinedTable) or error.sqlstate is None:  # the type is not there
                raise NotIndexed(missing) from None
            raise
        stored = sorted(set(row or ()) - {None})
        if not stored:
            raise NotIndexed(missing)
        if version is not None and stored != [version]:
            raise VersionMismatch(
                f"the recipes' vectors are of version {' and '.join(stored)}, the service's of {version}, and the two "
                "cannot be compared: run `index` again"
            )

    def _learn_vectors(self) -> None:
        """Teaches the connection pgvector's type, once; `psycopg.ProgrammingError` where the database has none."""
        if not self._knows_vectors:
            register_vector(self._connection)
            self._knows_vectors = True


@contextmanager
def _failures() -> Iterator[None]:
    """The one place where psycopg's errors become ours."""
    try:
        yield
    except psycopg.Error as error:
        raise DatabaseFailed(f"PostgreSQL failed: {_first_line(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
