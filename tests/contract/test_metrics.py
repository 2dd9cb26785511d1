"""GET /metrics and the Server-Timing header, and the documentation that lists them."""

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families as parse

from proxy.app import create_app
from proxy.errors import DeadlineExceeded, ServiceFull
from proxy.settings import Settings
from proxy.telemetry import metering
from proxy.telemetry.metrics import CONTENT_TYPE
from tests.contract.requests import BATCH, EMBED, HEALTH
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import FakeEmbedder

Samples = dict[tuple[str, tuple[str, ...]], float]


def scrape(client: httpx.Client) -> Samples:
    """Each sample by its name and its labels' values, which come sorted by label."""
    families = parse(client.get("/metrics").raise_for_status().text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


@pytest.fixture
def fake() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def service(fake: FakeEmbedder) -> Iterator[httpx.Client]:
    """With a heartbeat, and counts of its own."""
    with serve(create_app(Settings(), fake)) as address, connect(address) as client:
        yield client


def dur(answer: httpx.Response) -> dict[str, float]:
    """The header's entries, in milliseconds; each must be as https://www.w3.org/TR/server-timing/ has it."""
    entries = answer.headers["server-timing"].split(", ")
    matches = [re.fullmatch(r"([a-z]+);dur=(\d+\.\d{3})", entry) for entry in entries]
    assert all(matches), entries
    return {match[1]: float(match[2]) for match in matches if match}


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(metering).failed == 0


def test_what_was_answered_is_counted(service: httpx.Client) -> None:
    service.post(EMBED, json={"text": "a b"})
    service.post(BATCH, json={"texts": ["a", " ".join(["word"] * 200)]})
    service.post(EMBED, json={"text": ""})
    found = scrape(service)
    assert found["embedding_requests_total", (EMBED, "200")] == 1
    assert found["embedding_requests_total", (EMBED, "422")] == 1
    assert found["embedding_requests_total", (BATCH, "200")] == 1
    assert found["embedding_texts_total", ()] == 3
    assert found["embedding_tokens_total", ()] == 4 + 3 + 128
    assert found["embedding_truncations_total", ()] == 1
    assert found["embedding_request_texts_sum", ()] == 3
    assert found["embedding_request_texts_count", ()] == 2
    assert found["embedding_request_duration_seconds_count", (EMBED,)] == 2
    assert found["embedding_stage_duration_seconds_count", ("proxy",)] == 2


def test_what_a_client_makes_up_is_no_label(service: httpx.Client) -> None:
    for number in range(5):
        service.get(f"/nothing/{number}")
        service.request(f"M{number}", EMBED)
    names = {key for key in scrape(service) if key[0] == "embedding_requests_total"}
    assert {labels[0] for _, labels in names} <= {"other", EMBED, "/metrics"}
    assert scrape(service)["embedding_requests_total", ("other", "404")] == 5


@pytest.mark.parametrize("path", [EMBED, "/v1/embeddings"])
def test_a_refusal_is_counted(service: httpx.Client, fake: FakeEmbedder, path: str) -> None:
    service.post("/v1/embeddings", json={"input": "a", "model": "fake-MiniLM"})
    fake.failure = ServiceFull("No room.")
    assert service.post(path, json={"text": "a", "input": "a", "model": "fake-MiniLM"}).status_code == 503
    assert scrape(service)["embedding_refusals_total", ()] == 1


def test_whether_triton_is_up_and_with_which_model(service: httpx.Client) -> None:
    assert service.get(HEALTH).status_code == 200
    found = scrape(service)
    assert found["embedding_triton_up", ()] == 1
    assert found["embedding_model_info", ("fake-MiniLM", "float32", "fake-MiniLM@0123456789ab-float32")] == 1


def test_a_triton_that_is_away_is_down(fake: FakeEmbedder) -> None:
    fake.failure = DeadlineExceeded("Too late.")
    with serve(create_app(Settings(), fake)) as address, connect(address) as client:
        assert client.get(HEALTH).status_code == 503
        found = scrape(client)
    assert found["embedding_triton_up", ()] == 0
    assert not [key for key in found if key[0] == "embedding_model_info"]


def test_two_applications_count_apart(service: httpx.Client) -> None:
    with serve(create_app(Settings(), FakeEmbedder())) as address, connect(address) as other:
        other.post(EMBED, json={"text": "a"})
        assert scrape(other)["embedding_texts_total", ()] == 1
    assert scrape(service)["embedding_texts_total", ()] == 0


def test_every_answer_tells_its_time(service: httpx.Client, fake: FakeEmbedder) -> None:
    answers = [service.post(EMBED, json={"text": "a"}), service.post(EMBED, json={}), service.get("/nothing")]
    for answer in answers:
        assert dur(answer).keys() == {"proxy", "total"}
        assert 0 < dur(answer)["proxy"] <= dur(answer)["total"]
    fake.failure = DeadlineExceeded("Too late.")
    assert dur(service.post(EMBED, json={"text": "a"})).keys() == {"total"}


def test_with_api_keys_it_asks_for_one(fake: FakeEmbedder) -> None:
    app = create_app(Settings.model_validate({"api_keys": "secret"}), fake)
    with serve(app) as address, connect(address) as client:
        assert client.get("/metrics").status_code == 401
        found = client.get("/metrics", headers={"Authorization": "Bearer secret"})
    assert found.headers["content-type"] == CONTENT_TYPE


DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")


def test_every_metric_is_in_the_table_as_the_code_has_it() -> None:
    """Of a service with everything that there is, which does not run."""
    told = TestClient(create_app(Settings())).get("/metrics").raise_for_status().text
    rows = re.findall(r"^\| `(embedding_\w+)` \| (\w+) \| .*? \| (.*) \|$", DOCUMENT, re.MULTILINE)
    expected = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type, family.documentation)
        for family in parse(told)
        if family.name.startswith("embedding_")
    }
    assert set(rows) == expected
    assert len(rows) == len(expected)
