"""What more than one room must know of the JSON contract: paths that are special, and limits of texts."""

EMBED, EMBED_BATCH = "/api/v1/embed", "/api/v1/embed-batch"
EMBEDDINGS = "/v1/embeddings"  # OpenAI's

HEALTH, LIVE, READY, METRICS = "/health", "/health/live", "/health/ready", "/metrics"

# What watches the service asks for these every few seconds.
PROBES = frozenset({HEALTH, LIVE, READY, METRICS})

DOCS, OAUTH2_REDIRECT, REDOC, SCHEMA = "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"
ASSETS = "/docs/assets"  # what the pages load

_PAGES = frozenset({DOCS, OAUTH2_REDIRECT, REDOC, SCHEMA})

MAX_TEXT_CHARACTERS = 1000  # of `text`, in code points
MAX_TEXTS = 100  # of `texts`
MAX_INPUTS = 2048  # of OpenAI's `input`, and its own limit
MAX_TOKEN_IDS = 300_000  # of all of `input`; OpenAI's own limit, too


def is_health(path: str) -> bool:
    """Whether a path, without its query, asks for health.

    >>> is_health("/health"), is_health("/health/live"), is_health("/healthy")
    (True, True, False)
    """
    return path == HEALTH or path.startswith(f"{HEALTH}/")


def needs_key(path: str) -> bool:
    """Whether a request for this path must bring an API key, where the service has keys.

    Health, the schema, and the pages that show it need none: they say nothing that the README does not.
    """
    return not (is_health(path) or path in _PAGES or path.startswith(f"{ASSETS}/"))
