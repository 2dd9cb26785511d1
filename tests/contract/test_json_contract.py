"""The JSON contract, route by route and field by field, against the proxy with a fake behind it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
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
from tests.contract.fake_embedder import DIMENSION, MODEL, FakeEmbedder, encode
from tests.contract.serving import connect, serve

EMBED, BATCH, MODEL_INFO, HEALTH = "/api/v1/embed", "/api/v1/embed-batch", "/api/v1/model-info", "/health"


@pytest.fixture(scope="module")
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture(scope="module")
def running(embedder: FakeEmbedder) -> Iterator[httpx.Client]:
    with serve(create_app(Settings(), embedder)) as address, connect(address) as client:
        yield client


@pytest.fixture
def client(running: httpx.Client, embedder: FakeEmbedder) -> Iterator[httpx.Client]:
    yield running
    embedder.failure = None


def raw(
    client: httpx.Client, path: str, content: bytes, content_type: str | None = "application/json"
) -> httpx.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return client.post(path, content=content, headers=headers)


# Answers.


@pytest.mark.parametrize(
    ("asked", "normalize"), [({}, True), ({"normalize": True}, True), ({"normalize": False}, False)]
)
def test_embed(asked: dict[str, Any], normalize: bool, client: httpx.Client) -> None:
    answer = client.post(EMBED, json={"text": "갈비탕", **asked})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert {name: type(value) for name, value in body.items()} == {"embedding": list, "dim": int, "version": str}
    assert {type(value) for value in body["embedding"]} == {float}
    assert body["dim"] == len(body["embedding"]) == DIMENSION
    assert body["version"] == MODEL.version
    # To the last bit: the digits written are those that a float32 is read back from.
    np.testing.assert_array_equal(np.float32(body["embedding"]), encode(["갈비탕"], normalize)[0])


@pytest.mark.parametrize("normalize", [True, False])
def test_embed_batch(normalize: bool, client: httpx.Client) -> None:
    texts = ["갈비탕", "김치찌개", "", "된장찌개", "갈비탕"]
    answer = client.post(BATCH, json={"texts": texts, "normalize": normalize})
    assert answer.status_code == 200
    body = answer.json()
    types = {"embeddings": list, "dim": int, "version": str, "count": int}
    assert {name: type(value) for name, value in body.items()} == types
    assert body["count"] == len(texts)
    assert body["dim"] == DIMENSION
    assert body["version"] == MODEL.version
    np.testing.assert_array_equal(np.float32(body["embeddings"]), encode(texts, normalize))


def test_whole_numbers_are_floats_in_json(client: httpx.Client) -> None:
    assert b"." in client.post(BATCH, json={"texts": ["a"]}).content
    assert all(
        type(value) is float for value in json.loads(client.post(EMBED, json={"text": "a"}).content)["embedding"]
    )


def test_model_info(client: httpx.Client) -> None:
    assert client.get(MODEL_INFO).json() == {
        "model_name": MODEL.name,
        "dimension": DIMENSION,
        "version": MODEL.version,
        "device": "cpu",
    }


def test_health(client: httpx.Client) -> None:
    answer = client.get(HEALTH)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "model": MODEL.name, "dim": DIMENSION, "version": MODEL.version}


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_documentation(path: str, client: httpx.Client) -> None:
    assert client.get(path).status_code == 200


def test_the_schema_is_complete(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {EMBED, BATCH, MODEL_INFO, HEALTH}
    fields = {name: set(model["properties"]) for name, model in schema["components"]["schemas"].items()}
    assert fields["EmbedRequest"] == {"text", "normalize"}
    assert fields["EmbedBatchRequest"] == {"texts", "normalize"}
    assert fields["EmbedResponse"] == {"embedding", "dim", "version"}
    assert fields["EmbedBatchResponse"] == {"embeddings", "dim", "version", "count"}
    assert fields["ModelInfoResponse"] == {"model_name", "dimension", "version", "device"}
    assert fields["HealthResponse"] == {"status", "model", "dim", "version"}
    text = schema["components"]["schemas"]["EmbedRequest"]["properties"]["text"]
    assert (text["minLength"], text["maxLength"]) == (1, 1000)
    texts = schema["components"]["schemas"]["EmbedBatchRequest"]["properties"]["texts"]
    assert (texts["minItems"], texts["maxItems"], texts["items"]) == (1, 100, {"type": "string"})
    for path, method in [(EMBED, "post"), (BATCH, "post"), (MODEL_INFO, "get"), (HEALTH, "get")]:
        responses = schema["paths"][path][method]["responses"]
        assert {"200", "503"} <= set(responses)
        if method == "post":
            assert {"413", "422", "500", "504"} <= set(responses)
    for model in schema["components"]["schemas"].values():
        assert model.get("description") or model["title"] in ("HTTPValidationError", "ValidationError")


# What is accepted.


@pytest.mark.parametrize(
    "text", ["a", " ", "\n", "\0", "a\0b", "\u200b", "가" * 999, "가" * 1000, "🍲" * 1000, " " * 1000, "e\u0301"]
)
def test_texts_that_are_accepted(text: str, client: httpx.Client) -> None:
    answer = client.post(EMBED, json={"text": text})
    assert answer.status_code == 200
    np.testing.assert_array_equal(np.float32(answer.json()["embedding"]), encode([text], True)[0])


@pytest.mark.parametrize("texts", [["a"], ["a"] * 99, ["a"] * 100, [""], ["가" * 1001], ["가" * 200_000], ["\0"]])
def test_batches_that_are_accepted(texts: list[str], client: httpx.Client) -> None:
    answer = client.post(BATCH, json={"texts": texts})
    assert answer.status_code == 200
    assert answer.json()["count"] == len(texts)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("off", False),
        ("YES", True),
        ("0", False),
        (1, True),
        (0.0, False),
    ],
)
def test_normalize_is_coerced(value: Any, meant: bool, client: httpx.Client) -> None:
    answer = client.post(EMBED, json={"text": "a", "normalize": value})
    np.testing.assert_array_equal(np.float32(answer.json()["embedding"]), encode(["a"], meant)[0])


def test_unknown_fields_are_ignored(client: httpx.Client) -> None:
    assert client.post(EMBED, json={"text": "a", "texts": 1, "model": {"deep": [None]}}).status_code == 200
    assert raw(client, EMBED, b'{"text": "a", "other": "\\ud800"}').status_code == 200


@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-8", "application/vnd.api+json"])
def test_content_types_that_are_accepted(content_type: str | None, client: httpx.Client) -> None:
    assert raw(client, EMBED, b'{"text": "a"}', content_type).status_code == 200


# What is not valid: 422, and FastAPI's list of what is wrong.


def assert_invalid(answer: httpx.Response, kind: str | None = None, loc: list[Any] | None = None) -> None:
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


@pytest.mark.parametrize(
    ("path", "body", "kind", "loc"),
    [
        (EMBED, {}, "missing", ["body", "text"]),
        (EMBED, {"texts": ["a"]}, "missing", ["body", "text"]),
        (EMBED, {"text": ""}, "string_too_short", ["body", "text"]),
        (EMBED, {"text": "가" * 1001}, "string_too_long", ["body", "text"]),
        (EMBED, {"text": " " * 1001}, "string_too_long", ["body", "text"]),
        (EMBED, {"text": None}, "string_type", ["body", "text"]),
        (EMBED, {"text": 5}, "string_type", ["body", "text"]),
        (EMBED, {"text": True}, "string_type", ["body", "text"]),
        (EMBED, {"text": ["a"]}, "string_type", ["body", "text"]),
        (EMBED, {"text": {"a": 1}}, "string_type", ["body", "text"]),
        (EMBED, {"text": "a", "normalize": 2}, "bool_parsing", ["body", "normalize"]),
        (EMBED, {"text": "a", "normalize": "maybe"}, "bool_parsing", ["body", "normalize"]),
        (EMBED, {"text": "a", "normalize": None}, "bool_type", ["body", "normalize"]),
        (EMBED, {"text": "a", "normalize": []}, "bool_type", ["body", "normalize"]),
        (EMBED, [], "model_attributes_type", ["body"]),
        (EMBED, "a", "model_attributes_type", ["body"]),
        (EMBED, None, "missing", ["body"]),
        (BATCH, {}, "missing", ["body", "texts"]),
        (BATCH, {"texts": []}, "too_short", ["body", "texts"]),
        (BATCH, {"texts": ["a"] * 101}, "too_long", ["body", "texts"]),
        (BATCH, {"texts": [1] * 101}, "too_long", ["body", "texts"]),
        (BATCH, {"texts": "a"}, "list_type", ["body", "texts"]),
        (BATCH, {"texts": {"0": "a"}}, "list_type", ["body", "texts"]),
        (BATCH, {"texts": ["a", 5]}, "string_type", ["body", "texts", 1]),
        (BATCH, {"texts": ["a", None]}, "string_type", ["body", "texts", 1]),
        (BATCH, {"texts": [["a"]]}, "string_type", ["body", "texts", 0]),
        (BATCH, {"texts": ["a"], "normalize": 2}, "bool_parsing", ["body", "normalize"]),
    ],
)
def test_bodies_that_are_not_valid(path: str, body: Any, kind: str, loc: list[Any], client: httpx.Client) -> None:
    assert_invalid(client.post(path, json=body), kind, loc)


def test_no_body(client: httpx.Client) -> None:
    assert_invalid(client.post(EMBED), "missing", ["body"])


@pytest.mark.parametrize(
    "content", [b"{", b"text", b'{"text": "a"', b"{\"text\": 'a'}", b'{"text": "a"} b', b'{"text": "\n"}']
)
def test_broken_json(content: bytes, client: httpx.Client) -> None:
    assert_invalid(raw(client, EMBED, content))
    assert raw(client, EMBED, content).json()["detail"][0]["type"] == "json_invalid"


@pytest.mark.parametrize("content", [b'{"text": "a"}', b"text=a", b"\xff\xfe"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"]
)
def test_a_wrong_content_type(content: bytes, content_type: str, client: httpx.Client) -> None:
    assert_invalid(raw(client, EMBED, content, content_type), "model_attributes_type", ["body"])


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (EMBED, b'{"text": "\\ud800"}'),
        (EMBED, b'{"text": "a\\udfffb"}'),
        (EMBED, b'{"text": "\xed\xa0\x80"}'),
        (EMBED, b'{"text": 1, "other": "\\ud800"}'),
        (EMBED, b'{"\\ud800": "a"}'),
        (EMBED, b'{"text": "a", "normalize": "\\ud800"}'),
        (BATCH, b'{"texts": ["a", "\\ud800"]}'),
    ],
)
def test_lone_surrogates(path: str, content: bytes, client: httpx.Client) -> None:
    assert_invalid(raw(client, path, content))


@pytest.mark.parametrize("depth", [200, 300, 500, 900, 1_500, 10_000, 1_000_000])
@pytest.mark.parametrize("template", [b"%s", b'{"text": %s}', b'{"texts": [%s]}'])
def test_deep_nesting(depth: int, template: bytes, client: httpx.Client) -> None:
    assert_invalid(raw(client, EMBED, template % (b"[" * depth + b"]" * depth)))


def test_numbers_that_json_cannot_hold(client: httpx.Client) -> None:
    assert_invalid(raw(client, EMBED, b'{"text": NaN}'), "string_type", ["body", "text"])
    assert_invalid(raw(client, EMBED, b'{"text": 1' + b"0" * 400 + b"}"), "string_type", ["body", "text"])


def test_a_long_input_is_not_sent_back(client: httpx.Client) -> None:
    answer = raw(client, BATCH, json.dumps({"texts": [1] * 1_000_000}).encode())
    assert_invalid(answer, "too_long", ["body", "texts"])
    assert len(answer.content) < 1000


def test_a_short_input_is_sent_back(client: httpx.Client) -> None:
    (error,) = client.post(EMBED, json={"text": 5}).json()["detail"]
    assert error["input"] == 5


def test_a_body_that_is_not_utf_8(client: httpx.Client) -> None:
    answer = raw(client, EMBED, b'{"text": "\xff"}')
    assert answer.status_code == 400  # FastAPI's own, and so the original's
    assert isinstance(answer.json()["detail"], str)


def test_unknown_routes_and_methods(client: httpx.Client) -> None:
    assert (client.get("/nothing").status_code, client.get("/nothing").json()) == (404, {"detail": "Not Found"})
    answer = client.get(EMBED)
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


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
    ],
)
def test_failures(
    failure: Exception, status: int, method: str, path: str, body: Any, client: httpx.Client, embedder: FakeEmbedder
) -> None:
    embedder.failure = failure
    answer = client.request(method, path, json=body)
    assert answer.status_code == (503 if path == HEALTH else status)
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
