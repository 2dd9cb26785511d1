"""The recipe search's client, against answers of the embedding service: what it takes, asks again and refuses."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import HttpUrl, SecretStr

from examples.recipe_search.embedding_client import EmbeddingClient
from examples.recipe_search.errors import ServiceRefused, ServiceUnavailable, VersionChanged
from examples.recipe_search.settings import Settings

Handler = Callable[[httpx.Request], httpx.Response]


def batch(request: httpx.Request, version: str = "v1") -> httpx.Response:
    """What the service answers: here a text's vector is its length, twice."""
    texts = json.loads(request.content)["texts"]
    answer = {"embeddings": [[len(text)] * 2 for text in texts], "dim": 2, "version": version, "count": len(texts)}
    return httpx.Response(200, json=answer)


class Service:
    """Answers with `handlers` in turn, the last one from then on, and keeps what was asked and how long was waited."""

    def __init__(self, *handlers: Handler, **settings: Any) -> None:
        self._handlers = handlers
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        self.client = EmbeddingClient(Settings(**settings), httpx.MockTransport(self._answer), self.pauses.append)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._handlers[min(len(self.requests), len(self._handlers)) - 1](request)


@pytest.fixture
def service() -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(*handlers: Handler, **settings: Any) -> Service:
        made.append(Service(*handlers, **settings))
        return made[-1]

    yield make
    for each in made:
        each.client.close()


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


def slow(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("timed out", request=request)


def status(code: int, detail: Any = "what failed", **headers: str) -> Handler:
    return lambda _: httpx.Response(code, json={"detail": detail}, headers=headers)


def body(answer: Any) -> Handler:
    return lambda _: httpx.Response(200, json=answer)


def test_texts_go_in_hundreds_and_come_back_in_order(service: Callable[..., Service]) -> None:
    asked = service(batch)
    vectors = asked.client.embed_all(["x" * length for length in range(250)])
    assert [len(json.loads(request.content)["texts"]) for request in asked.requests] == [100, 100, 50]
    assert vectors.version == "v1"
    assert vectors.rows.dtype == np.float32
    assert vectors.rows[:, 0].tolist() == list(range(250))


def test_one_text(service: Callable[..., Service]) -> None:
    asked = service(body({"embedding": [0.5, 0.25], "dim": 2, "version": "v1"}))
    assert asked.client.embed("갈비탕").rows.tolist() == [[0.5, 0.25]]
    assert asked.requests[0].url == "http://localhost:8001/api/v1/embed"
    assert json.loads(asked.requests[0].content) == {"text": "갈비탕", "normalize": True}
    assert "X-API-Key" not in asked.requests[0].headers


def test_the_settings_are_used(service: Callable[..., Service]) -> None:
    asked = service(batch, ml_inference_url=HttpUrl("http://ml:1/ml/"), ml_api_key=SecretStr("k"), ml_timeout=3)
    asked.client.embed_batch(["a"])
    request = asked.requests[0]
    assert request.url == "http://ml:1/ml/api/v1/embed-batch"
    assert request.headers["X-API-Key"] == "k"
    assert set(request.extensions["timeout"].values()) == {3}


def test_503_is_asked_again_after_the_time_it_names(service: Callable[..., Service]) -> None:
    asked = service(status(503, **{"Retry-After": "7"}), status(503), batch)
    assert len(asked.client.embed_batch(["a"]).rows) == 1
    assert asked.pauses == [7.0, 1.0]


@pytest.mark.parametrize("wait", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "nan"])
def test_a_time_that_cannot_be_used_counts_as_none(wait: str, service: Callable[..., Service]) -> None:
    asked = service(status(503, **{"Retry-After": wait}), batch)
    asked.client.embed_batch(["a"])
    assert asked.pauses == [1.0]


def test_it_waits_no_longer_than_for_an_answer(service: Callable[..., Service]) -> None:
    asked = service(status(503, **{"Retry-After": "86400"}), batch, ml_timeout=5)
    asked.client.embed_batch(["a"])
    assert asked.pauses == [5.0]


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (status(503, "The model is loading."), "not ready: The model is loading"),
        (away, "no embedding service at http://localhost:8001 .*set ML_INFERENCE_URL"),
    ],
)
def test_it_gives_up_after_the_retries(handler: Handler, said: str, service: Callable[..., Service]) -> None:
    asked = service(handler, ml_retries=2)
    with pytest.raises(ServiceUnavailable, match=said):
        asked.client.embed("갈비탕")
    assert len(asked.requests) == 3
    assert len(asked.pauses) == 2


@pytest.mark.parametrize(
    ("handler", "said"), [(slow, r"did not answer in 30 s \(ML_TIMEOUT\)"), (status(504), "too slow: what failed")]
)
def test_what_takes_too_long_is_not_asked_again(handler: Handler, said: str, service: Callable[..., Service]) -> None:
    asked = service(handler)
    with pytest.raises(ServiceUnavailable, match=said):
        asked.client.embed("갈비탕")
    assert len(asked.requests) == 1


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (status(401), "set ML_API_KEY"),
        (
            status(422, [{"msg": "String should have at least 1 character"}]),
            "answered 422: String should have at least",
        ),
        (status(500), "answered 500: what failed"),
        (lambda _: httpx.Response(404, text="<html>"), "answered 404: Not Found"),
        (lambda _: httpx.Response(200, text="<html>"), "is it ML_INFERENCE_URL"),
        (body({"embeddings": [[0.5]]}), "is it ML_INFERENCE_URL"),
        (body({"embeddings": [[0.5]], "dim": 1, "version": "v1", "count": 1}), "counts 1 texts, and 2 were sent"),
        (body({"embeddings": [[0.5]], "dim": 1, "version": "v1", "count": 2}), "2 vectors of 1 dimensions and sent 1"),
        (body({"embeddings": [[0.5], [1, 2]], "dim": 1, "version": "v1", "count": 2}), "2 vectors of 1 dimensions"),
        (body({"embeddings": [[0.5], [1]], "dim": 2, "version": "v1", "count": 2}), "2 vectors of 2 dimensions"),
    ],
)
def test_an_answer_without_vectors_is_refused(handler: Handler, said: str, service: Callable[..., Service]) -> None:
    asked = service(handler)
    with pytest.raises(ServiceRefused, match=said):
        asked.client.embed_batch(["a", "b"])
    assert len(asked.requests) == 1


def test_another_version_in_the_middle_is_refused(service: Callable[..., Service]) -> None:
    asked = service(batch, lambda request: batch(request, "v2"))
    with pytest.raises(VersionChanged, match="from version v1 to v2"):
        asked.client.embed_all(["a"] * 300)
    assert len(asked.requests) == 2


def test_a_client_closes_its_connections() -> None:
    with closing(EmbeddingClient(Settings(), httpx.MockTransport(batch))) as client:
        client.embed_batch(["a"])
    with pytest.raises(RuntimeError, match="closed"):
        client.embed_batch(["a"])
