"""`/docs` and `/redoc` as they go over the wire: everything they load is here, and a policy lets them load no more."""

import hashlib
import re
from base64 import b64encode
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

PAGES = ["/docs", "/redoc", "/docs/oauth2-redirect"]
LINK = re.compile(r"""(?:src|href|spec-url)="([^"]*)"|url: '([^']*)'""")


def links(page: httpx.Response) -> list[str]:
    return ["".join(found) for found in LINK.findall(page.text)]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_every_link_leads_to_what_the_service_has(path: str, client: httpx.Client) -> None:
    page = client.get(path)
    assert len(links(page)) >= 3
    assert "openapi.json" in links(page)
    for link in links(page):
        assert client.get(urljoin(path, link)).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_links_keep_the_prefix_of_a_reverse_proxy(path: str, client: httpx.Client) -> None:
    for link in links(client.get(path)):
        assert urljoin(f"https://elsewhere.example/ml{path}", link).startswith("https://elsewhere.example/ml/")
    servers = client.get("/openapi.json").json()["servers"]
    assert [urljoin("/ml/openapi.json", server["url"]) for server in servers] == ["/ml/"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_what_pages_load_is_typed_and_kept_until_it_changes(path: str, client: httpx.Client) -> None:
    types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "png": "image/png"}
    assets = [link for link in links(client.get(path)) if "assets" in link]
    assert assets
    for link in assets:
        asset = client.get(urljoin(path, link))
        assert asset.headers["content-type"] == types[urlsplit(link).path.rpartition(".")[2]]
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert urlsplit(link).query == f"v={hashlib.sha256(asset.content).hexdigest()[:12]}"


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_allows_the_scripts_of_the_page_and_of_the_service_alone(path: str, client: httpx.Client) -> None:
    page = client.get(path)
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    inline = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    hashes = [f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in inline]
    assert policy.pop("script-src") == " ".join(["'self'", *hashes])
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_pages_are_not_kept(client: httpx.Client) -> None:
    assert {client.get(path).headers["cache-control"] for path in PAGES} == {"no-store"}


@pytest.mark.parametrize("path", ["/docs/assets/", "/docs/assets/nothing.js", "/docs/assets/..%2f..%2fpages.py"])
def test_nothing_else_is_served(path: str, client: httpx.Client) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
