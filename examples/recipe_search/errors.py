"""What can go wrong between the embedding service, the database and a search.

RecipeSearchError
├── ServiceUnavailable    the embedding service is away, not ready or too slow; asking again later may work
├── ServiceRefused        it answered, and not with vectors: a key is missing, or this is another service
├── VersionChanged        its model was exchanged while the recipes were embedded
├── DatabaseUnavailable   no connection to PostgreSQL
├── DatabaseFailed        PostgreSQL refused a statement
├── PgvectorMissing       PostgreSQL is there, and the extension `vector` is not
├── WrongDimension        vectors of another length than the table's column takes
└── NotIndexed            there are no recipes to search
    └── VersionMismatch   there are, with vectors of another version than the query's

Each carries one sentence that says what is wrong and what would help.
"""


class RecipeSearchError(Exception):
    """The root of all that is raised on purpose here."""


class ServiceUnavailable(RecipeSearchError):
    """The embedding service gave no vectors, and may give some later."""


class ServiceRefused(RecipeSearchError):
    """The embedding service answered with something that asking again does not change."""


class VersionChanged(RecipeSearchError):
    """Two batches of one run came back with vectors of two versions."""


class DatabaseUnavailable(RecipeSearchError):
    """PostgreSQL is not there, the database is not, or it does not let us in."""


class DatabaseFailed(RecipeSearchError):
    """A statement failed: the table is another application's, a right is missing, the connection is lost."""


class PgvectorMissing(RecipeSearchError):
    """The extension `vector` is not installed on the database's machine."""


class WrongDimension(RecipeSearchError):
    """The service's vectors do not fit into the table."""


class NotIndexed(RecipeSearchError):
    """The recipes have not been embedded and stored yet."""


class VersionMismatch(NotIndexed):
    """The stored vectors and the query's are of two versions, whose distances mean nothing."""
