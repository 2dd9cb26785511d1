"""OpenAI's routes, field by field: what is accepted, and what comes back. tests/integration/ has its clients."""

import base64
import doctest
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

import proxy.api.openai
import proxy.api.openai_errors
import proxy.api.schemas.openai
from tests.contract.requests import EMBEDDINGS, MODELS
from tests.fakes.fake_embedder import DIMENSION, MODEL, FakeEmbedder, encode


def ask(client: httpx.Client, asked: Any, **fields: Any) -> httpx.Response:
    return client.post(EMBEDDINGS, json={"input": asked, "model": MODEL.name, **fields})


def vectors_of(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return np.array([item["embedding"] for item in answer.json()["data"]], dtype=np.float32)


@pytest.mark.parametrize("module", [proxy.api.openai, proxy.api.openai_errors, proxy.api.schemas.openai])
def test_the_examples_in_the_docstrings(module: Any) -> None:
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        ("갈비탕", ["갈비탕"]),
        (["갈비탕", "김치찌개 맛집", "갈비탕"], ["갈비탕", "김치찌개 맛집", "갈비탕"]),
        ([5, 6], [(5, 6)]),
        ([[5, 6], [7]], [(5, 6), (7,)]),
    ],
)
def test_every_kind_of_input(asked: Any, texts: Any, client: httpx.Client) -> None:
    answer = ask(client, asked, user="somebody", unknown=1)
    np.testing.assert_array_equal(vectors_of(answer), encode(texts, True))
    body = answer.json()
    tokens = sum(len(text.split()) if isinstance(text, str) else len(text) for text in texts) + 2 * len(texts)
    assert list(body) == ["object", "data", "model", "usage", "version"]
    assert (body["object"], body["model"], body["version"]) == ("list", MODEL.name, MODEL.version)
    assert body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert [list(item) for item in body["data"]] == [["object", "index", "embedding"]] * len(texts)
    assert [(item["object"], item["index"]) for item in body["data"]] == [("embedding", i) for i in range(len(texts))]


def test_base64_is_the_same_vector(client: httpx.Client) -> None:
    (item,) = ask(client, "갈비탕", encoding_format="base64").json()["data"]
    vector = np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4")
    np.testing.assert_array_equal(vector, vectors_of(ask(client, "갈비탕", encoding_format="float"))[0])


@pytest.mark.parametrize("dimensions", [1, 5, DIMENSION, None])
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_dimensions_cut_and_make_unit_length_again(dimensions: int | None, encoding: str, client: httpx.Client) -> None:
    body = ask(client, ["갈비탕", "b"], dimensions=dimensions, encoding_format=encoding).json()
    found = [item["embedding"] for item in body["data"]]
    if encoding == "base64":
        found = [np.frombuffer(base64.b64decode(text), dtype="<f4") for text in found]
    expected = encode(["갈비탕", "b"], True)[:, :dimensions].astype(float)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-7)


def test_usage_is_what_the_model_saw(client: httpx.Client) -> None:
    usage = ask(client, ["a " * 300, "a b"]).json()["usage"]
    assert usage["prompt_tokens"] == MODEL.max_seq_length + 4


def test_a_long_list_is_split_and_keeps_its_order(client: httpx.Client, embedder: FakeEmbedder) -> None:
    texts = [f"text {place}" for place in range(2048)]
    before = len(embedder.calls)
    np.testing.assert_array_equal(vectors_of(ask(client, texts)), encode(texts, True))
    assert [len(call) for call in embedder.calls[before:]] == [100] * 20 + [48]


@pytest.mark.parametrize("name", [MODEL.name, f"sentence-transformers/{MODEL.name}"])
def test_the_model_is_known_by_its_name(name: str, client: httpx.Client) -> None:
    assert ask(client, "a", model=name).json()["model"] == MODEL.name


def test_either_side_is_cut(client: httpx.Client) -> None:
    np.testing.assert_array_equal(vectors_of(ask(client, "a", truncate="left")), encode(["a"], True, "left"))


def test_models(client: httpx.Client) -> None:
    assert client.get(MODELS).json() == {
        "object": "list",
        "data": [
            {"id": MODEL.name, "object": "model", "created": 0, "owned_by": "self-hosted", "version": MODEL.version}
        ],
    }


async def _in_two_halves() -> tuple[list[int], str]:
    """A list of 250 whose model is replaced after the first part."""
    asked: list[int] = []

    class Replaced(FakeEmbedder):
        async def embed(self, texts: Any, normalize: bool, deadline: float, truncation: Any = "right") -> Any:
            asked.append(len(texts))
            answer = await super().embed(texts, normalize, deadline, truncation)
            return answer if len(asked) == 1 else replace(answer, model=replace(MODEL, name="another"))

    embedder = Replaced()
    await embedder.open()
    texts = [f"text {number}" for number in range(250)]
    answer = await proxy.api.openai._embed_in_parts(embedder, texts, 1e9, "right")
    np.testing.assert_array_equal(answer.vectors, encode(texts, True))
    return asked, answer.model.name


async def test_a_long_list_begins_again_where_another_model_comes() -> None:
    asked, name = await _in_two_halves()
    assert asked == [100, 100, 100, 100, 50], "the first of one model, and then all of the other's"
    assert name == "another"
