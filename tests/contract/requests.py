"""The contract's routes, and what the tests of them do again and again."""

import json
from typing import Any

import httpx

EMBED, BATCH, MODEL_INFO, HEALTH = "/api/v1/embed", "/api/v1/embed-batch", "/api/v1/model-info", "/health"
READY, LIVE = "/health/ready", "/health/live"
TOKENIZE, SIMILARITY = "/api/v1/tokenize", "/api/v1/similarity"
EMBEDDINGS, MODELS = "/v1/embeddings", "/v1/models"


def post_raw(
    client: httpx.Client, path: str, content: bytes, content_type: str | None = "application/json"
) -> httpx.Response:
    """A POST of bytes as they are."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    return client.post(path, content=content, headers=headers)


def assert_invalid(answer: httpx.Response, kind: str | None = None, loc: list[Any] | None = None) -> None:
    """A 422 with FastAPI's list, in which `kind` at `loc` stands."""
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    errors = json.loads(answer.content.decode("utf-8"))["detail"]
    assert errors
    for error in errors:
        assert isinstance(error["type"], str)
        assert isinstance(error["loc"], list)
        assert isinstance(error["msg"], str)
    if kind is not None:
        assert (kind, loc) in [(error["type"], error["loc"]) for error in errors]
