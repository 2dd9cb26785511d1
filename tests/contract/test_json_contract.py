"""The JSON contract, route by route and field by field: what is accepted, and what comes back."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from proxy.errors import EngineUnavailable
from tests.contract.requests import BATCH, EMBED, HEALTH, LIVE, MODEL_INFO, READY, post_raw
from tests.fakes.fake_embedder import DIMENSION, MODEL, FakeEmbedder, encode

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


@pytest.mark.parametrize("path", [HEALTH, READY])
def test_health(path: str, client: httpx.Client) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "model": MODEL.name, "dim": DIMENSION, "version": MODEL.version}


def test_the_process_is_alive_whatever_is_behind_it(client: httpx.Client, embedder: FakeEmbedder) -> None:
    embedder.failure = EngineUnavailable("The engine is away.")
    answer = client.get(LIVE)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_documentation(path: str, client: httpx.Client) -> None:
    assert client.get(path).status_code == 200


def test_the_schema_is_complete(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) >= {EMBED, BATCH, MODEL_INFO, HEALTH, READY, LIVE}
    fields = {name: set(model["properties"]) for name, model in schema["components"]["schemas"].items()}
    asked, told = {"truncate", "return_tokens"}, {"tokens", "truncated"}  # beside the original's
    assert fields["EmbedRequest"] == {"text", "normalize"} | asked
    assert fields["EmbedBatchRequest"] == {"texts", "normalize"} | asked
    assert fields["EmbedResponse"] == {"embedding", "dim", "version"} | told
    assert fields["EmbedBatchResponse"] == {"embeddings", "dim", "version", "count"} | told
    for model in ("EmbedRequest", "EmbedBatchRequest"):
        assert set(schema["components"]["schemas"][model]["required"]) < {"text", "texts"}
    assert fields["ModelInfoResponse"] == {"model_name", "dimension", "version", "device"}
    assert fields["HealthResponse"] == {"status", "model", "dim", "version"}
    assert fields["LiveResponse"] == {"status"}
    text = schema["components"]["schemas"]["EmbedRequest"]["properties"]["text"]
    assert (text["minLength"], text["maxLength"]) == (1, 1000)
    texts = schema["components"]["schemas"]["EmbedBatchRequest"]["properties"]["texts"]
    assert (texts["minItems"], texts["maxItems"], texts["items"]) == (1, 100, {"type": "string"})
    for path, method in [(EMBED, "post"), (BATCH, "post"), (MODEL_INFO, "get"), (HEALTH, "get"), (READY, "get")]:
        responses = schema["paths"][path][method]["responses"]
        assert {"200", "503"} <= set(responses)
        if method == "post":
            assert {"413", "422", "500", "504"} <= set(responses)


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
    assert post_raw(client, EMBED, b'{"text": "a", "other": "\\ud800"}').status_code == 200


@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-8", "application/vnd.api+json"])
def test_content_types_that_are_accepted(content_type: str | None, client: httpx.Client) -> None:
    assert post_raw(client, EMBED, b'{"text": "a"}', content_type).status_code == 200
