"""`/docs` and `/redoc` in a browser that reaches nothing but the service; screenshots go to build/pages/."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By

from proxy.app import create_app
from proxy.settings import Settings
from tests.chromium import Chromium, chromium
from tests.contract.serving import serve
from tests.fakes.fake_embedder import DIMENSION, FakeEmbedder
from tests.integration.conftest import Served
from tests.waiting import wait_until

pytestmark = pytest.mark.models  # one browser for all

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "pages"
EMBED = "[id^='operations-embedding-embed_api_v1_embed_post']"
PATHS = ["/api/v1/embed", "/api/v1/embed-batch", "/api/v1/model-info", "/health"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with chromium(tmp_path_factory.mktemp("chromium")) as window:
        yield window


def keep(browser: Chromium, name: str) -> None:
    assert browser.driver.save_screenshot(str(SCREENSHOTS / f"{name}.png"))


def assert_self_sufficient(browser: Chromium, service: str) -> None:
    asked = browser.requests()
    assert len(asked) >= 3
    assert [url for url in asked if not url.startswith((f"{service}/", "data:", f"blob:{service}/"))] == []
    assert browser.complaints() == []


def execute_embed(browser: Chromium) -> tuple[str, Any]:
    """Status and body that Swagger UI shows after "Execute" on /api/v1/embed, with the example as it stands there."""
    browser.click(f"{EMBED} .opblock-summary-control")
    browser.click(f"{EMBED} .try-out__btn")
    browser.click(f"{EMBED} .execute")
    status = browser.find(f"{EMBED} .live-responses-table .response-col_status", "0").text.split()[0]
    body = browser.find(f"{EMBED} .live-responses-table .response-col_description pre", "{").text
    return status, json.loads(body)


def test_the_network_is_shut(browser: Chromium) -> None:
    with pytest.raises(WebDriverException, match="ERR_NAME_NOT_RESOLVED"):
        browser.open("http://example.invalid/")


def test_swagger_ui_embeds_a_text(browser: Chromium, real_model: Served) -> None:
    service = real_model.service.proxy
    browser.open(f"{service}/docs")
    for path in PATHS:
        browser.find(".opblock-summary-path", path)
    keep(browser, "docs")
    status, body = execute_embed(browser)
    keep(browser, "docs-execute")
    assert status == "200"
    assert body["dim"] == 384
    assert body["embedding"] == pytest.approx(real_model.original.encode("갈비탕").tolist(), abs=1e-5)
    assert_self_sufficient(browser, service)


def test_redoc_shows_and_finds_every_operation(browser: Chromium, real_model: Served) -> None:
    service = real_model.service.proxy
    browser.open(f"{service}/redoc")
    for path in PATHS:
        browser.find("[data-section-id]", path)
    keep(browser, "redoc")
    browser.find("input[placeholder='Search...']").send_keys("cosine")
    browser.find("[data-role='search:results']", "Embed one text")
    keep(browser, "redoc-search")
    assert_self_sufficient(browser, service)


def test_behind_a_prefix_that_a_reverse_proxy_takes_off(browser: Chromium) -> None:
    app = create_app(Settings(), FakeEmbedder())

    async def stripping(scope: Any, receive: Any, send: Any) -> None:
        """nginx's `location /ml/ { proxy_pass http://service/; }`; nothing else is there."""
        if scope["type"] == "http":
            path = scope["path"].removeprefix("/ml") if scope["path"].startswith("/ml/") else "/not-the-service"
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    with serve(stripping) as address:
        browser.open(f"{address}/ml/docs")
        status, body = execute_embed(browser)
        assert (status, len(body["embedding"])) == ("200", DIMENSION)
        assert_self_sufficient(browser, f"{address}/ml")
        browser.open(f"{address}/ml/redoc")
        browser.find("[data-section-id]", "/api/v1/embed")
        assert_self_sufficient(browser, f"{address}/ml")


def test_swagger_ui_takes_a_key(browser: Chromium) -> None:
    app = create_app(Settings.model_validate({"api_keys": "a-key"}), FakeEmbedder())
    with serve(app) as address:
        browser.open(f"{address}/docs")
        browser.click(".btn.authorize")
        browser.find(".modal-ux input").send_keys("a-key")
        browser.click(".modal-ux button.authorize")
        browser.click(".modal-ux .btn-done")
        wait_until(lambda: not browser.driver.find_elements(By.CSS_SELECTOR, ".modal-ux"))
        status, body = execute_embed(browser)
        keep(browser, "docs-key")
        assert (status, len(body["embedding"])) == ("200", DIMENSION)
        assert_self_sufficient(browser, address)
