"""What clients do every day, and what is odd but no fault of the service: a line in the log, and never a traceback."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.raw_http import RawClient, request, text_request
from tests.contract.requests import BATCH, EMBED, EMBEDDINGS, HEALTH, MODEL_INFO, SIMILARITY, TOKENIZE
from tests.contract.serving import serve
from tests.fakes.fake_embedder import MODEL, FakeEmbedder
from tests.fakes.slow_embedder import SlowEmbedder
from tests.waiting import wait_until

BODIES: dict[str, dict[str, Any]] = {
    EMBED: {"text": "a"},
    BATCH: {"texts": ["a", "b"]},
    SIMILARITY: {"query": "a", "texts": ["b"]},
    EMBEDDINGS: {"input": ["a"], "model": MODEL.name},
}


class SlowTokenizer(SlowEmbedder):
    """Holds `tokenize`, too."""

    async def tokenize(self, texts: Any, *_: Any, **__: Any) -> Any:
        return await self.embed(texts, True, 0)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "proxy.access"]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        f"{record.name} {record.getMessage()}"
        for record in caplog.records
        if record.levelno >= logging.WARNING or record.exc_info
    ]


@pytest.mark.parametrize("path", [*BODIES, TOKENIZE])
def test_a_client_that_hangs_up_while_it_waits(path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    embedder = SlowTokenizer()
    body = json.dumps(BODIES.get(path, {"texts": ["a"]})).encode()
    with serve(create_app(Settings(), embedder)) as address:
        with RawClient(address) as client:
            client.send(request(body, path=path))
            wait_until(lambda: embedder.calls)
        wait_until(lambda: lines(caplog))
    (line,) = lines(caplog)
    assert f"POST {path} 499 " in line
    assert errors(caplog) == []


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("headers", [(), ("Content-Encoding: gzip",), ("Expect: 100-continue",)])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_client_that_hangs_up_while_it_sends(
    path: str, headers: tuple[str, ...], chunked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serve(create_app(Settings(), FakeEmbedder())) as address:
        with RawClient(address) as client:
            client.send(request(json.dumps(BODIES[path]).encode(), *headers, path=path, chunked=chunked)[:-7])
        wait_until(lambda: lines(caplog))
    (line,) = lines(caplog)
    assert f"POST {path} 499 " in line
    assert errors(caplog) == []


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve(create_app(Settings(), FakeEmbedder())) as running:
        yield running


GOOD = json.dumps({"text": "a"}).encode()
ODD: dict[str, bytes] = {
    "OPTIONS": request(method="OPTIONS", path=EMBED),
    "OPTIONS *": request(method="OPTIONS", path="*"),
    "a preflight": request(b"", "Origin: null", "Access-Control-Request-Method: POST", method="OPTIONS", path=EMBED),
    "TRACE": request(method="TRACE", path=EMBED),
    "PROPFIND": request(method="PROPFIND", path="/"),
    "DELETE with a body": request(GOOD, method="DELETE"),
    "GET with a body": request(GOOD, method="GET", path=HEALTH),
    "HEAD": request(method="HEAD", path=MODEL_INFO),
    "whole address": request(method="GET", path="http://elsewhere.example/health"),
    "whole address without a path": request(method="GET", path="http://elsewhere.example"),
    "a query": request(GOOD, path=f"{EMBED}?text=%EA%B0%88&a[]=b&%ff=%"),
    "NUL in the path": request(GOOD, path="/%00"),
    "bytes that are no text in the path": request(GOOD, path="/%ff%fe"),
    "dots": request(GOOD, path="/../..%2f../etc/passwd"),
    "percent": request(GOOD, path="/%"),
    "backslash": request(GOOD, path="/\\docs"),
    "long path": request(GOOD, path="/" + "a" * 60_000),
    "no Host": request(GOOD).replace(b"Host: x\r\n", b""),
    "two Hosts": request(GOOD, "Host: y"),
    "strange Host": request(GOOD).replace(b"Host: x", b"Host: [::1"),
    "HTTP/1.0": request(GOOD).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no type": request(GOOD).replace(b"Content-Type: application/json\r\n", b""),
    "Origin of strange bytes": request(GOOD, "Origin: \u00ff\u00fe"),
    "cookies": request(GOOD, 'Cookie: a="b; =; ;;'),
    "traceparent": request(GOOD, "traceparent: 00-zz-0-1", "tracestate: =,=", "baggage: ;=,"),
    "forwarded": request(GOOD, "X-Forwarded-For: not, an address", "X-Forwarded-Proto: gopher"),
    "range": request(b"", "Range: bytes=5-1", "If-None-Match: *", method="GET", path="/docs/assets/favicon.png"),
    "accept": request(GOOD, "Accept: image/webp;q=x", "Accept-Encoding: br;q=1.0, *;q=0", "Accept-Charset: utf-7"),
    "expect": request(GOOD, "Expect: the unexpected"),
    "te": request(GOOD, "TE: trailers, deflate;q=0.5"),
    "empty length": request(b""),
    "empty chunks": request(b"", chunked=True),
    "other transfer coding": request(b"", "X: y", chunked=True).replace(b"chunked", b"gzip, chunked"),
    "form": request(b"text=a", "X: y").replace(b"application/json", b"application/x-www-form-urlencoded"),
    "multipart": request(GOOD).replace(b"application/json", b"multipart/form-data"),
    "type of nothing": request(GOOD).replace(b"application/json", b";;;charset=="),
    "type with an open quote": request(GOOD).replace(b"application/json", b'application/json; charset="utf-8'),
    "type of strange bytes": request(GOOD).replace(b"application/json", b"\xff/\xfe; charset=\xfd"),
    "type in RFC 2231": request(GOOD).replace(b"application/json", b"application/json; charset*=utf-8''utf-8"),
    "type in RFC 2231, broken": request(GOOD).replace(b"application/json", b"application/json; charset*0*=a''%zz"),
    "type in an unknown charset": request(GOOD).replace(b"application/json", b"application/json; charset*=x'y'%ff"),
    "coding of nothing": request(GOOD, "Content-Encoding: ,,,"),
    **{f"timeout {value!r}": request(GOOD, f"X-Request-Timeout: {value}")
       for value in ("", "nan", "-1", "1e400", "0", "a", "9" * 5000, "1_0", "\u0661")},
    **{f"body {body[:12]!r}": request(body) for body in (
        b"null", b"[]", b"1", b'"a"', b"{", b'{"text": NaN}', b'{"text": 1e999}', b'{"text": ' + b"9" * 5000 + b"}",
        b'{"text": "\\ud800"}', b'{"text": "a", "text": "b"}', b"\xef\xbb\xbf" + GOOD, GOOD.decode().encode("utf-16"),
        GOOD.decode().encode("utf-32-le"), b'{"text": "\xff"}', b"[" * 5000, b'{"a":' * 5000, b"\x00", b" ",
        b'{"text": "\\u0000"}', b'{"\\ud800": 1}', b'{"text": {"\\udfff": "\\ud800"}}', b'{"text": "a"}x',
    )},
    **{f"OpenAI {body!r}"[:40]: request(body, path=EMBEDDINGS) for body in (
        b'{"input": [], "model": "x"}', b'{"input": [[]], "model": "x"}', b'{"input": [[-1]], "model": "x"}',
        b'{"input": [[1e300]], "model": "x"}', b'{"input": "a", "model": "\\ud800"}', b"[[[", b"null",
        b'{"input": [[99999999999999999999]], "model": "fake-MiniLM"}',
        b'{"input": ["a", [1]], "model": "fake-MiniLM"}',
        b'{"input": "a", "model": "fake-MiniLM", "dimensions": 99999999999999999999}',
        b'{"input": "a", "model": "' + b"x" * 100_000 + b'"}',
    )},
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_odd_requests(odd: str, address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with RawClient(address) as client:
        client.send(ODD[odd])
        answer = client.answer(to_head=odd == "HEAD")
        assert answer is not None
        assert 200 <= answer.status < 500, answer.body
    with RawClient(address) as client:
        client.send(text_request("a"))
        answer = client.answer()
        assert answer is not None
        assert answer.status == 200
    wait_until(lambda: len(lines(caplog)) == 2)
    assert errors(caplog) == []
