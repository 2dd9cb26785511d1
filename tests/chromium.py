"""A headless Chromium that reaches 127.0.0.1 and nothing else, and tells what it asked for and complained of."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.waiting import wait_until

_FLAGS = [
    "--headless=new",
    "--no-sandbox",  # there is none for root
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",  # it would look names up
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1280,1600",
]


@dataclass(frozen=True)
class Chromium:
    """One window; a page's requests and complaints are those since the last time that they were asked for."""

    driver: webdriver.Chrome

    def open(self, address: str) -> None:
        """Loads the page, and forgets what was before."""
        self.driver.get("about:blank")
        self.complaints()
        self.requests()
        self.driver.get(address)

    def find(self, css: str, text: str = "") -> WebElement:
        """Waits for an element that is shown and has `text` in it."""

        def shown() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, css)
            try:
                return next((element for element in found if element.is_displayed() and text in element.text), None)
            except StaleElementReferenceException:  # drawn anew in between
                return None

        return wait_until(shown, 30, 0.1)

    def click(self, css: str, text: str = "") -> None:
        """Where the element is: scrolled to first."""
        element = self.find(css, text)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def complaints(self) -> list[str]:
        """The console's lines, what the page's policy forbids among them."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> list[str]:
        """Addresses that pages over HTTP asked for, themselves first."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]  # type: ignore[no-untyped-call]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [event["request"]["url"] for event in sent if event["documentURL"].startswith("http")]


@contextmanager
def chromium(profile: Path) -> Iterator[Chromium]:
    """Skips the test where Chromium or its driver is not installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("Chromium is not installed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in [*_FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Chromium(window)
    finally:
        window.quit()
