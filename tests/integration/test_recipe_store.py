"""The recipe search's table in a real PostgreSQL with pgvector: what is found, replaced and refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from examples.recipe_search.errors import (
    DatabaseFailed,
    DatabaseUnavailable,
    NotIndexed,
    PgvectorMissing,
    VersionMismatch,
    WrongDimension,
)
from examples.recipe_search.recipes import Recipe, catalogue
from examples.recipe_search.store import DIMENSION, RecipeStore, open_store
from tests.postgresql import debian_binaries, new_database
from tests.waiting import wait_until

RECIPES = catalogue(300)
ROWS = np.random.default_rng(0).standard_normal((len(RECIPES), DIMENSION), np.float32)


@pytest.fixture
def database(postgres: str, request: pytest.FixtureRequest) -> str:
    """The address of an empty database of the test's own."""
    return new_database(postgres, request.node.name)


@pytest.fixture
def store(database: str) -> Iterator[RecipeStore]:
    """A table with `RECIPES`, of version v1."""
    with open_store(database) as opened:
        opened.prepare()
        opened.replace(RECIPES, ROWS, "v1")
        yield opened


def along(axis: int) -> NDArray[np.float32]:
    vector = np.zeros(DIMENSION, np.float32)
    vector[axis] = 1
    return vector


def test_the_nearest_by_cosine_come_first(store: RecipeStore) -> None:
    # Of lengths that the cosine must not see.
    rows = np.stack([9 * (along(0) + along(1)), along(1), 0.1 * along(0), -along(0)])
    store.replace(RECIPES[:4], rows, "v1")
    found = store.nearest(along(0), "v1", 3)
    assert [recipe.id for recipe in found] == [3, 1, 2]
    assert [recipe.distance for recipe in found] == pytest.approx([0, 1 - 0.5**0.5, 1], abs=1e-6)
    assert found[0][:3] == RECIPES[2]


def test_vectors_are_stored_bit_by_bit(store: RecipeStore) -> None:
    ids, rows = store.vectors()
    assert ids == [recipe.id for recipe in RECIPES]
    assert rows.dtype == np.float32
    assert np.array_equal(rows, ROWS)


def test_replacing_leaves_nothing_of_what_was_there(store: RecipeStore) -> None:
    changed = [Recipe(recipe.id, "새 이름", recipe.description) for recipe in RECIPES[100:200]]
    store.prepare()
    store.replace(changed, ROWS[:100], "v2")
    ids, rows = store.vectors()
    assert ids == [recipe.id for recipe in changed]
    assert np.array_equal(rows, ROWS[:100])
    assert {recipe.title for recipe in store.nearest(ROWS[0], "v2", 100)} == {"새 이름"}


def test_what_cannot_be_stored_whole_is_not_stored_at_all(store: RecipeStore) -> None:
    broken = ROWS + 1
    broken[-1, 0] = np.nan  # which pgvector does not take
    with pytest.raises(DatabaseFailed, match="NaN"):
        store.replace(RECIPES, broken, "v2")
    assert np.array_equal(store.vectors()[1], ROWS)
    assert store.nearest(ROWS[0], "v1", 1)[0].id == 1


def test_a_replacement_that_fails_at_its_end_is_taken_back(store: RecipeStore, database: str) -> None:
    with psycopg.connect(database) as other:
        other.execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not now''; END'")
        other.execute("CREATE TRIGGER refuse BEFORE DELETE ON recipes EXECUTE FUNCTION refuse()")
    with pytest.raises(DatabaseFailed, match="not now"):
        store.replace(RECIPES[:100], ROWS[100:200], "v2")
    assert np.array_equal(store.vectors()[1], ROWS)
    assert store.nearest(ROWS[0], "v1", 1)[0].id == 1


def test_of_two_that_index_at_one_time_the_second_waits(store: RecipeStore, database: str) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'recipes'::regclass AND NOT granted"
    with psycopg.connect(database) as first, psycopg.connect(database, autocommit=True) as watcher:
        first.execute("UPDATE recipes SET version = 'v2'")
        with ThreadPoolExecutor() as pool:
            second = pool.submit(store.replace, RECIPES, ROWS, "v3")
            try:
                wait_until(lambda: second.done() or watcher.execute(waiting).fetchone() == (1,))
                assert not second.done()
            finally:
                first.commit()
            second.result(60)
    assert store.nearest(ROWS[0], "v3", 1)[0].id == 1


def test_vectors_of_another_version_are_never_compared(store: RecipeStore, database: str) -> None:
    with pytest.raises(VersionMismatch, match=r"of version v1, the service's of v2.*run `index` again"):
        store.nearest(ROWS[0], "v2", 10)
    with psycopg.connect(database) as other:
        other.execute("UPDATE recipes SET version = 'v0' WHERE id = 200")
    for version in ("v0", "v1"):
        with pytest.raises(VersionMismatch, match="of version v0 and v1"):
            store.nearest(ROWS[0], version, 10)


def test_vectors_of_another_length_are_refused(store: RecipeStore) -> None:
    with pytest.raises(WrongDimension, match="vectors have 64 dimensions, and the table takes 384"):
        store.replace(RECIPES, ROWS[:, :64], "v1")
    with pytest.raises(WrongDimension, match="64 dimensions"):
        store.nearest(ROWS[0, :64], "v1", 10)


def test_hnsw_is_there_when_it_is_asked_for(store: RecipeStore, database: str) -> None:
    def indexes() -> set[str]:
        with psycopg.connect(database) as other:
            return {name for (name,) in other.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'recipes'")}

    plain = indexes()
    store.replace(RECIPES, ROWS, "v1", hnsw=True)
    assert indexes() == plain | {"recipes_embedding"}
    store.replace(RECIPES, ROWS, "v1", hnsw=True)
    assert indexes() == plain | {"recipes_embedding"}
    store.replace(RECIPES, ROWS, "v1")
    assert indexes() == plain


def test_a_search_before_the_index_says_so(database: str) -> None:
    with open_store(database) as opened:
        with pytest.raises(NotIndexed, match="run `index` first"):
            opened.nearest(ROWS[0], "v1", 10)
        opened.prepare()
        with pytest.raises(NotIndexed, match="run `index` first"):
            opened.nearest(ROWS[0], "v1", 10)
        with pytest.raises(NotIndexed, match="run `index` first"):
            opened.vectors()


def test_without_the_database_the_error_says_what_to_do(database: str, tmp_path: Path) -> None:
    with (
        pytest.raises(DatabaseUnavailable, match=r'database "none" does not exist\).*createdb recipes.*DATABASE_URL'),
        open_store(database.replace(f"/{database.partition('@/')[2].partition('?')[0]}?", "/none?")),
    ):
        pass
    with (
        pytest.raises(DatabaseUnavailable, match="No such file or directory"),
        open_store(f"postgresql:///none?host={tmp_path}"),
    ):
        pass
    with pytest.raises(DatabaseUnavailable, match="connection info string"), open_store("recipes"):
        pass


def test_without_pgvector_the_error_names_its_package(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database) as other:
        release = other.info.server_version // 10_000
    if release < 18:
        pytest.skip("before PostgreSQL 18 the place of extensions cannot be set")
    without = f"{database}&options=-cextension_control_path%3D{tmp_path}"
    with open_store(without) as opened, pytest.raises(PgvectorMissing, match=f"postgresql-{release}-pgvector"):
        opened.prepare()


def test_who_may_not_add_pgvector_is_told(database: str) -> None:
    with psycopg.connect(database) as other:
        other.execute("CREATE ROLE shop LOGIN")
    as_shop = database.replace("//postgres@", "//shop@")
    with open_store(as_shop) as opened, pytest.raises(PgvectorMissing, match="superuser run CREATE EXTENSION vector"):
        opened.prepare()


def test_another_applications_table_is_told_apart(database: str) -> None:
    with psycopg.connect(database) as other:
        other.execute("CREATE TABLE recipes (name text)")
    with open_store(database) as opened, pytest.raises(DatabaseFailed, match='column "version" does not exist'):
        opened.prepare()


def test_debians_newest_postgresql_with_pgvector_is_taken(tmp_path: Path) -> None:
    root, share = tmp_path / "lib", tmp_path / "share"
    for release, extension in (("9", "vector"), ("15", "vector"), ("16", "cube")):
        (root / release / "bin").mkdir(parents=True)
        (share / release / "extension").mkdir(parents=True)
        (share / release / "extension" / f"{extension}.control").touch()
    assert debian_binaries(root, share) == root / "15" / "bin"
    assert debian_binaries(root / "16", share) is None
