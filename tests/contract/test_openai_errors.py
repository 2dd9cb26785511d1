"""Every failure under /v1/ is OpenAI's object, whoever in the service gives it; elsewhere nothing changes."""

from typing import Any

import httpx
import pytest

from proxy.app import create_app
from proxy.errors import DeadlineExceeded, EngineFailed, EngineOverloaded, EngineUnavailable, InvalidText
from proxy.settings import Settings
from tests.contract.requests import EMBED, EMBEDDINGS, MODELS, post_raw
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import DIMENSION, MODEL, FakeEmbedder

INVALID, SERVER = "invalid_request_error", "server_error"


def error_of(answer: httpx.Response, status: int) -> Any:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert list(answer.json()) == ["error"]
    error = answer.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["type"] == (SERVER if status >= 500 else INVALID)
    return error


def ask(client: httpx.Client, **fields: Any) -> httpx.Response:
    return client.post(EMBEDDINGS, json={"input": "a", "model": MODEL.name, **fields})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("input", "", "not be empty"),
        ("input", [], "an empty list"),
        ("input", ["a", ""], "item 1"),
        ("input", [[]], "item 0"),
        ("input", [[5], []], "item 1"),
        ("input", ["a", 5], "item 1 is not a string"),
        ("input", [[5], "a"], "item 1 is not a list"),
        ("input", [5, "a"], "whole numbers"),
        ("input", [5, True], "whole numbers"),
        ("input", [5, -1], "whole numbers"),
        ("input", [5, 2**31], "whole numbers"),
        ("input", [[5], [1.5]], "item 1"),
        ("input", 5, "a string, a list"),
        ("input", None, "a string, a list"),
        ("input", {"text": "a"}, "a string, a list"),
        ("input", ["a"] * 2049, "at most 2048 items, and has 2049"),
        ("model", None, "string"),
        ("encoding_format", "int8", "'float' or 'base64'"),
        ("dimensions", 0, f"from 1 to {DIMENSION}"),
        ("dimensions", DIMENSION + 1, f"from 1 to {DIMENSION}"),
        ("dimensions", "x", "integer"),
        ("truncate", "middle", "'right', 'left' or 'error'"),
    ],
)
def test_a_field_that_is_not_valid_is_named(field: str, value: Any, words: str, client: httpx.Client) -> None:
    error = error_of(ask(client, **{field: value}), 400)
    assert (error["param"], error["code"]) == (field, None)
    assert error["message"].startswith(f"{field}: ")
    assert words in error["message"]


def test_lone_surrogates(client: httpx.Client) -> None:
    body = b'{"input": ["a", "\\ud800"], "model": "%s"}' % MODEL.name.encode()
    error = error_of(post_raw(client, EMBEDDINGS, body), 400)
    assert (error["param"], "item 1 has a lone surrogate" in error["message"]) == ("input", True)
    error = error_of(post_raw(client, EMBEDDINGS, b'{"input": "a", "model": "\\ud800"}'), 404)
    assert error["code"] == "model_not_found"


def test_a_field_that_is_missing(client: httpx.Client) -> None:
    error = error_of(client.post(EMBEDDINGS, json={"input": "a"}), 400)
    assert (error["message"], error["param"]) == ("model: Field required", "model")


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b'{"input": "\xff"}', b"[" * 100_000])
def test_a_body_that_is_not_what_is_expected(content: bytes, client: httpx.Client) -> None:
    assert error_of(post_raw(client, EMBEDDINGS, content), 400)["param"] is None


def test_a_model_that_is_not_served(client: httpx.Client) -> None:
    for name in ("text-embedding-3-small", "", f"{MODEL.name}/other"):
        error = error_of(ask(client, model=name), 404)
        assert (error["param"], error["code"]) == ("model", "model_not_found")
        assert MODEL.name in error["message"]


def test_nothing_is_computed_for_what_is_refused(client: httpx.Client, embedder: FakeEmbedder) -> None:
    before = len(embedder.calls)
    ask(client, model="another")
    ask(client, dimensions=DIMENSION + 1)
    assert len(embedder.calls) == before


def test_a_text_that_is_too_long_where_that_is_an_error(client: httpx.Client) -> None:
    error = error_of(ask(client, input=["a", "a " * 300], truncate="error"), 400)
    assert (error["param"], error["code"]) == ("input", "context_length_exceeded")
    assert error["message"].startswith(f"input[1]: Text should have at most {MODEL.max_seq_length} tokens")
    assert "302" in error["message"]


def test_token_ids_that_the_vocabulary_does_not_have(client: httpx.Client, embedder: FakeEmbedder) -> None:
    embedder.failure = InvalidText("They are not in the vocabulary.")
    embedder.failure.text = (9, 9)
    asked = [[place] for place in range(150)] + [[9, 9]]
    assert ask(client, input="a").status_code == 400
    error = error_of(ask(client, input=asked), 400)
    assert (error["message"], error["param"]) == ("input[150]: They are not in the vocabulary.", "input")


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (EngineUnavailable("The engine is away."), 503),
        (EngineOverloaded("The engine is full."), 503),
        (DeadlineExceeded("Too late."), 504),
        (EngineFailed("It failed."), 500),
        (RuntimeError("/secret/path"), 500),
    ],
)
def test_failures(failure: Exception, status: int, client: httpx.Client, embedder: FakeEmbedder) -> None:
    embedder.failure = failure
    for answer in (ask(client), client.get(MODELS)):
        error = error_of(answer, status)
        assert (error["param"], error["code"]) == (None, None)
        assert "secret" not in error["message"]
        assert (answer.headers.get("retry-after") is not None) == (status == 503)


def test_unknown_routes_and_methods(client: httpx.Client) -> None:
    assert error_of(client.get("/v1/nothing"), 404)["message"] == "Not Found"
    answer = client.get(EMBEDDINGS, headers={"Origin": "https://a.example"})
    assert error_of(answer, 405)["message"] == "Method Not Allowed"
    assert (answer.headers["allow"], answer.headers["access-control-allow-origin"]) == ("POST", "*")


def test_a_body_that_is_too_large(client: httpx.Client) -> None:
    answer = client.post(EMBEDDINGS, content=b" " * (Settings().max_body_mb * 1024 * 1024 + 1))
    assert "20 MB" in error_of(answer, 413)["message"]


def test_keys() -> None:
    app = create_app(Settings.model_validate({"api_keys": "secret"}), FakeEmbedder())
    with serve(app) as address, connect(address) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = client.get(MODELS, headers=headers)
            assert error_of(answer, 401)["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get(MODELS, headers={"Authorization": "Bearer secret"}).status_code == 200
        assert list(client.post(EMBED, json={}).json()) == ["detail"]
