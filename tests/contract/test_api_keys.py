"""A service with API keys: who gets in, what the others are told, and what stays open."""

import logging
from collections.abc import Iterator

import httpx
import pytest

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.requests import BATCH, EMBED, HEALTH, LIVE, MODEL_INFO, READY
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import FakeEmbedder
from tests.waiting import wait_until

KEY, OTHER = "kq9-Zx_~secret+/=", "another.key"


@pytest.fixture(scope="module")
def locked() -> Iterator[httpx.Client]:
    app = create_app(Settings.model_validate({"api_keys": f"{KEY},{OTHER}"}), FakeEmbedder())
    with serve(app) as address, connect(address) as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {OTHER}"},
        {"X-API-Key": KEY},
        {"x-api-key": OTHER},
        {"Authorization": "Bearer wrong", "X-API-Key": KEY},
        {"Authorization": "Basic dTpw", "X-API-Key": KEY},
    ],
)
def test_a_key_opens(locked: httpx.Client, headers: dict[str, str]) -> None:
    assert locked.post(EMBED, json={"text": "갈비탕"}, headers=headers).status_code == 200
    assert locked.get(MODEL_INFO, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY},{OTHER}"},
        {"X-API-Key": ""},
        {"X-API-Key": KEY.upper()},
        {"Cookie": f"X-API-Key={KEY}"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", EMBED), ("POST", BATCH), ("GET", MODEL_INFO), ("GET", "/x")])
def test_without_one_it_is_401(locked: httpx.Client, headers: dict[str, str], method: str, path: str) -> None:
    answer = locked.request(method, path, headers=headers, content=b"not even JSON")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/json"
    detail = answer.json()["detail"]
    assert isinstance(detail, str)
    assert KEY not in detail
    assert ("asks for an API key" in detail) or ("is not one of" in detail)


def test_a_key_in_the_address_opens_nothing(locked: httpx.Client) -> None:
    assert locked.get(f"{MODEL_INFO}?api_key={KEY}").status_code == 401


@pytest.mark.parametrize(
    "path", [HEALTH, READY, LIVE, "/docs", "/redoc", "/openapi.json", "/docs/assets/swagger-ui-bundle.js"]
)
def test_health_and_the_schema_are_open(locked: httpx.Client, path: str) -> None:
    assert locked.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/health/nothing",
        "/healthy",
        "/health/../api/v1/model-info",
        "/docs/../api/v1/embed",
        "/docs/assets/../../api/v1/model-info",
    ],
)
def test_no_way_round(locked: httpx.Client, path: str) -> None:
    with httpx.Client(base_url=locked.base_url) as client:
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        assert client.send(request).status_code in (401, 404)


def test_a_browser_may_ask_first_and_sees_why_it_was_refused(locked: httpx.Client) -> None:
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization,x-api-key,content-type"
    preflight = locked.options(EMBED, headers=asked)
    assert preflight.status_code == 200
    assert {"authorization", "x-api-key"} <= set(preflight.headers["access-control-allow-headers"].split(","))
    refused = locked.post(EMBED, json={"text": "a"}, headers={"Origin": "https://a.example"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")


def test_no_key_is_in_the_log(locked: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    locked.get(MODEL_INFO, headers={"X-API-Key": KEY})
    locked.get(MODEL_INFO, headers={"X-API-Key": "a-wrong-one"})

    def lines() -> list[str]:  # written after the answer was sent
        return [record.getMessage() for record in caplog.records if record.name == "proxy.access"]

    wait_until(lambda: len(lines()) == 2)
    assert "401" in lines()[1]
    ours = " ".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpcore"))
    assert KEY not in ours
    assert "a-wrong-one" not in ours


def test_the_schema_tells_both_headers(locked: httpx.Client) -> None:
    schema = locked.get("/openapi.json").json()
    assert {scheme["type"] for scheme in schema["components"]["securitySchemes"].values()} == {"http", "apiKey"}
    assert "401" in schema["paths"][EMBED]["post"]["responses"]
    assert "security" not in schema["paths"][HEALTH]["get"]


def test_without_keys_nobody_is_asked(client: httpx.Client) -> None:
    assert client.post(EMBED, json={"text": "a"}, headers={"Authorization": "Bearer whatever"}).status_code == 200
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]
