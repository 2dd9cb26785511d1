"""`HEAD`, and addresses with a slash too many: answered as the route itself, and never by a redirect."""

import json
import re
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.requests import (
    BATCH,
    EMBED,
    EMBEDDINGS,
    HEALTH,
    LIVE,
    MODEL_INFO,
    MODELS,
    READY,
    SIMILARITY,
    TOKENIZE,
)
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import MODEL, FakeEmbedder
from tests.waiting import wait_until

PAGES = ["/docs", "/redoc"]
GETS = [HEALTH, READY, LIVE, MODEL_INFO, MODELS, "/openapi.json", "/metrics", *PAGES]
POSTS: dict[str, Any] = {
    EMBED: {"text": "a"},
    BATCH: {"texts": ["a"]},
    TOKENIZE: {"texts": ["a"]},
    SIMILARITY: {"query": "a", "texts": ["b"]},
    EMBEDDINGS: {"input": "a", "model": MODEL.name},
}
CHANGING = {"date", "server-timing", "content-length"}


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_its_body(path: str, client: httpx.Client) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    told = {name: value for name, value in got.headers.items() if name not in CHANGING}
    assert {name: value for name, value in head.headers.items() if name not in CHANGING} == told
    if path != "/metrics":
        assert head.headers["content-length"] == str(len(got.content))


def test_the_connection_goes_on_after_head(running: httpx.Client) -> None:
    with httpx.Client(base_url=running.base_url) as client:
        for _ in range(3):
            assert client.head(HEALTH).status_code == 200
            assert client.get(HEALTH).json()["status"] == "ok"


def test_head_elsewhere(client: httpx.Client, embedder: FakeEmbedder) -> None:
    assert client.head(EMBED).status_code == 405
    assert client.head("/nothing").status_code == 404
    embedder.failure = RuntimeError()
    assert client.head(MODEL_INFO).status_code == 500


@pytest.mark.parametrize("path", [*GETS, *POSTS])
def test_another_method_is_told_which_there_are(path: str, client: httpx.Client) -> None:
    answer = client.put(path)
    assert answer.status_code == 405
    allowed = {"POST"} if path in POSTS else {"GET", "HEAD"}
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert client.head(path).status_code == (405 if path in POSTS else 200)


def test_head_is_logged_as_head(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    client.head(MODEL_INFO)
    wait_until(lambda: any(f"HEAD {MODEL_INFO} 200 " in record.getMessage() for record in caplog.records))


@pytest.mark.parametrize("change", ["{}/", "/{}", "{}//", "//{}"])
@pytest.mark.parametrize("path", [*GETS, *POSTS])
def test_slashes_too_many(path: str, change: str, client: httpx.Client) -> None:
    address = httpx.URL(str(client.base_url).rstrip("/")).copy_with(raw_path=change.format(path).encode())
    if path in POSTS:
        plain, answer = client.post(path, json=POSTS[path]), client.post(address, json=POSTS[path])
    else:
        plain, answer = client.get(path), client.get(address)
        assert client.head(address).status_code == 200
    assert answer.status_code == plain.status_code == 200
    if path not in ("/metrics", *PAGES):
        assert answer.json() == plain.json()
    wrong = client.post(address) if path in GETS else client.get(address)
    assert wrong.status_code == 405


def test_a_slash_in_the_middle_is_taken_too(client: httpx.Client) -> None:
    assert client.post("/api//v1/embed", json={"text": "a"}).status_code == 200


def test_they_are_counted_with_their_route(client: httpx.Client) -> None:
    def counted() -> int:
        found = re.search(
            rf'embedding_requests_total{{route="{LIVE}",status="200"}} (\d+)', client.get("/metrics").text
        )
        return int(found[1]) if found else 0

    before = counted()
    client.get(LIVE + "/")
    client.head(LIVE)
    assert counted() == before + 2


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "/ml"])
@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_to_what_is_there(page: str, prefix: str, end: str, client: httpx.Client) -> None:
    links = re.findall(r"""(?:src|href|spec-url)="([^"]*)"|url: '([^']*)'""", client.get(page + end).text)
    assert len(links) >= 3
    for link in map("".join, links):
        led = urljoin(f"https://elsewhere.example{prefix}{page}{end}", link)
        assert led.startswith(f"https://elsewhere.example{prefix}/")
        assert client.get(led.removeprefix(f"https://elsewhere.example{prefix}")).status_code == 200


def test_no_answer_is_a_redirect() -> None:
    app = create_app(Settings(), FakeEmbedder())
    with serve(app) as address, connect(address) as client:
        for path in {
            *GETS,
            *POSTS,
            *app.openapi()["paths"],
            "",
            "/docs/assets",
            "/docs/assets/favicon.png",
            "/nothing",
        }:
            for odd in (path, f"{path}/", f"/{path}", f"{path}//", f"//evil.example{path}", f"{path}/%2f", f"{path}/."):
                for method in ("GET", "POST", "HEAD", "OPTIONS", "PUT"):
                    url = httpx.URL(address).copy_with(raw_path=odd.encode() or b"/")
                    answer = client.request(method, url, headers={"Host": "evil.example"})
                    assert not answer.is_redirect, f"{method} {odd}"
                    assert "location" not in answer.headers
                    assert "evil.example" not in answer.text or json.loads(answer.text)["detail"] == "Not Found"


def test_a_key_opens_no_more_and_no_less() -> None:
    locked = create_app(Settings.model_validate({"api_keys": "key"}), FakeEmbedder())
    with serve(locked) as address, connect(address) as client:
        for path in (f"{MODEL_INFO}/", f"//{MODEL_INFO}", f"/health/..{MODEL_INFO}", f"/docs/assets/..{MODEL_INFO}/"):
            url = httpx.URL(address).copy_with(raw_path=path.encode())
            assert client.get(url).status_code in (401, 404)
        for path in ("/health/", "/docs/", "/redoc/", "/openapi.json/", "//health//ready"):
            url = httpx.URL(address).copy_with(raw_path=path.encode())
            assert client.get(url).status_code == 200
