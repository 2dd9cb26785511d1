"""Swagger UI and ReDoc, scripts and styles included: a browser needs nothing from anywhere else to show them.

Every link is relative to the page, so that they work behind a reverse proxy that takes a prefix off, as /ml/.
"""

import functools
import hashlib
import re
from base64 import b64encode
from collections.abc import Callable
from importlib import resources

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from proxy.contract import ASSETS, DOCS, OAUTH2_REDIRECT, REDOC, SCHEMA

_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
# ReDoc loads its maker's logo from there, and hides it where that fails: as it does at once with what is no image.
_REDOC_LOGO, _NO_IMAGE = b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"data:,"

# What a page may do: run our scripts and what it holds itself, and ask this service. Both write styles while they run,
# and hold images as data; ReDoc searches in a worker that it makes from its own script.
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def add_pages(app: FastAPI) -> None:
    """`/docs` and `/redoc`, and under `/docs/` what they load; all of them outside of the schema."""
    links = {}
    for name, media_type in _TYPES.items():
        content = (resources.files("fastapi_offline") / "static" / name).read_bytes().replace(_REDOC_LOGO, _NO_IMAGE)
        # The address changes with the content, so that a browser may keep both for good.
        links[name] = f"{ASSETS[1:]}/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
        _add(app, f"{ASSETS}/{name}", content, media_type, {"Cache-Control": "public, max-age=31536000, immutable"})

    def swagger_ui(root: str) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=root + SCHEMA[1:],
            title=f"{app.title} - Swagger UI",
            swagger_js_url=root + links["swagger-ui-bundle.js"],
            swagger_css_url=root + links["swagger-ui.css"],
            swagger_favicon_url=root + links["favicon.png"],
            swagger_ui_parameters={"validatorUrl": None},  # else a server on the internet is asked to check the schema
        )

    def redoc(root: str) -> HTMLResponse:
        return get_redoc_html(
            openapi_url=root + SCHEMA[1:],
            title=f"{app.title} - ReDoc",
            redoc_js_url=root + links["redoc.standalone.js"],
            redoc_favicon_url=root + links["favicon.png"],
            with_google_fonts=False,
        )

    _add_page(app, DOCS, swagger_ui)
    _add_page(app, OAUTH2_REDIRECT, lambda _: get_swagger_ui_oauth2_redirect_html())
    _add_page(app, REDOC, redoc)


def _add_page(app: FastAPI, path: str, make: Callable[[str], HTMLResponse]) -> None:
    """`make` makes the page from the way that leads back from it to the service's root."""

    @functools.lru_cache(maxsize=4)
    def page(root: str) -> tuple[bytes, dict[str, str]]:
        body = bytes(make(root).body)
        hashes = [b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE_SCRIPT.findall(body)]
        policy = _POLICY.format(scripts=" ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)]))
        return body, {"Content-Security-Policy": policy}

    async def answer(request: Request) -> Response:
        body, headers = page(_way_back(request.scope.get("raw_path", b"")))
        return Response(body, headers=headers, media_type="text/html")

    app.add_route(path, answer, include_in_schema=False)


def _way_back(raw_path: bytes) -> str:
    """Each slash at the end of a page's address is one folder more to a browser.

    >>> _way_back(b"/docs"), _way_back(b"/docs/")
    ('', '../')
    """
    path = raw_path.partition(b"?")[0]
    return "../" * (len(path) - len(path.rstrip(b"/")))


def _add(app: FastAPI, path: str, body: bytes, media_type: str, headers: dict[str, str]) -> None:
    async def answer(_: Request) -> Response:
        return Response(body, headers=headers, media_type=media_type)

    app.add_route(path, answer, include_in_schema=False)
