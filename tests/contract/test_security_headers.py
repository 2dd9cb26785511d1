"""What browsers are told about every answer; test_pages.py has what the pages are told beside."""

import httpx
import pytest

from proxy.errors import EngineFailed
from tests.contract.requests import EMBED, HEALTH
from tests.fakes.fake_embedder import FakeEmbedder


def assert_headers(answer: httpx.Response, policy: str) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"] == policy


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", HEALTH, 200), ("POST", EMBED, 422), ("GET", "/nothing", 404), ("GET", "/openapi.json", 200)],
)
def test_every_answer_has_them(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert_headers(answer, "default-src 'none'; frame-ancestors 'none'")


def test_a_failure_has_them(client: httpx.Client, embedder: FakeEmbedder) -> None:
    embedder.failure = EngineFailed("It failed.")
    assert_headers(client.post(EMBED, json={"text": "a"}), "default-src 'none'; frame-ancestors 'none'")
