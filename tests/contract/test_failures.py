"""Failures behind the proxy as their clients see them, and CORS."""

from typing import Any

import httpx
import pytest

from proxy.app import create_app
from proxy.errors import (
    DeadlineExceeded,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    InvalidText,
    UnexpectedModel,
)
from proxy.settings import Settings
from tests.contract.requests import BATCH, EMBED, HEALTH, MODEL_INFO, READY, assert_invalid
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import FakeEmbedder

# What fails.


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (EngineUnavailable("The engine is away."), 503),
        (EngineOverloaded("The engine is full."), 503),
        (UnexpectedModel("Another model."), 503),
        (DeadlineExceeded("Too late."), 504),
        (EngineFailed("It failed."), 500),
    ],
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", EMBED, {"text": "a"}),
        ("POST", BATCH, {"texts": ["a"]}),
        ("GET", MODEL_INFO, None),
        ("GET", HEALTH, None),
        ("GET", READY, None),
    ],
)
def test_failures(
    failure: Exception, status: int, method: str, path: str, body: Any, client: httpx.Client, embedder: FakeEmbedder
) -> None:
    embedder.failure = failure
    answer = client.request(method, path, json=body)
    assert answer.status_code == (503 if path in (HEALTH, READY) else status)
    assert answer.json() == {"detail": str(failure)}
    assert (answer.headers.get("retry-after") is not None) == (answer.status_code == 503)


def test_a_text_that_the_engine_refuses(client: httpx.Client, embedder: FakeEmbedder) -> None:
    embedder.failure = InvalidText("The engine refused a text as not valid.")
    assert_invalid(client.post(EMBED, json={"text": "a"}), "value_error", ["body"])


def test_the_unexpected(client: httpx.Client, embedder: FakeEmbedder, caplog: pytest.LogCaptureFixture) -> None:
    embedder.failure = RuntimeError("/secret/path: it broke")
    answer = client.post(EMBED, json={"text": "a"}, headers={"Origin": "https://a.example"})
    assert answer.status_code == 500
    assert list(answer.json()) == ["detail"]
    for secret in ("secret", "Traceback", "RuntimeError", ".py"):
        assert secret not in answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "it broke" in str(record.exc_info)


# CORS.


def preflight(client: httpx.Client, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    return client.options(EMBED, headers=headers)


def test_any_origin_by_default_and_no_credentials(client: httpx.Client) -> None:
    for answer in (
        preflight(client, "https://a.example"),
        client.post(EMBED, json={"text": "a"}, headers={"Origin": "https://a.example"}),
        client.post(EMBED, json={}, headers={"Origin": "https://a.example"}),
    ):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    assert preflight(client, "https://a.example").status_code == 200


def test_listed_origins_with_credentials() -> None:
    app = create_app(Settings(cors_origins=("https://a.example", "https://b.example")), FakeEmbedder())
    with serve(app) as address, connect(address) as client:
        for answer in (
            preflight(client, "https://b.example"),
            client.post(EMBED, json={"text": "a"}, headers={"Origin": "https://b.example"}),
        ):
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "https://b.example"
            assert answer.headers["access-control-allow-credentials"] == "true"
        assert preflight(client, "https://c.example").status_code == 400
        answer = client.post(EMBED, json={"text": "a"}, headers={"Origin": "https://c.example"})
        assert "access-control-allow-origin" not in answer.headers
