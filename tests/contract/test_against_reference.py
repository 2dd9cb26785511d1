"""The proxy and a small copy of the original service get the same requests, made by hypothesis, and answer alike."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.comparison import Sample, compare, json_sample
from tests.contract.reference_app import reference_app
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import DIMENSION, MODEL, FakeEmbedder, encode

EMBED, BATCH = "/api/v1/embed", "/api/v1/embed-batch"


@pytest.fixture(scope="module")
def reference() -> Iterator[httpx.Client]:
    app = reference_app(encode, MODEL.name, DIMENSION)
    with serve(app) as address, connect(address) as client:
        yield client


@pytest.fixture(scope="module")
def service() -> Iterator[httpx.Client]:
    app = create_app(Settings(log_level="error"), FakeEmbedder())
    with serve(app) as address, connect(address) as client:
        yield client


# Every code point, lone surrogates and NUL among them.
any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=30) | st.text(
    "\ud800\udfff\0 a비", max_size=4
)
long_text = st.builds(lambda unit, times: unit * times, st.sampled_from(["a", "비", "🍲"]), st.integers(999, 1001))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4), max_leaves=8
)
normalize: st.SearchStrategy[Any] = st.booleans() | st.sampled_from(
    ["true", "False", "on", "0", 1, 0, 1.0, 2, "maybe", None, "", [], 0.5]
)
texts = st.lists(any_text, max_size=5) | st.builds(lambda count: ["a"] * count, st.sampled_from([99, 100, 101]))


def request_of(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    others = {"normalize": normalize, "other": anything}
    return st.fixed_dictionaries({name: values}, optional=others) | st.fixed_dictionaries({}, optional=others)


bodies = st.one_of(
    request_of("text", any_text | long_text),
    request_of("texts", texts),
    request_of("text", anything),
    request_of("texts", anything | st.lists(anything, max_size=4)),
    anything,
)
paths = st.sampled_from([EMBED, BATCH])

# A request per example in both services; the machine may be slow.
thorough = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(path=paths, body=bodies)
def test_json_bodies(reference: httpx.Client, service: httpx.Client, path: str, body: Any) -> None:
    compare(reference, service, json_sample(path, body))


@thorough
@given(path=paths, content=st.binary(max_size=40) | bodies.map(lambda body: json.dumps(body).encode()), data=st.data())
def test_broken_bytes(
    reference: httpx.Client, service: httpx.Client, path: str, content: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(content)))
    junk = data.draw(st.binary(max_size=3))
    compare(reference, service, Sample("POST", path, content[:cut] + junk))


content_types = st.sampled_from(
    [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/json",
        "json",
        "",
        "multipart/form-data; boundary=x",
    ]
)


@thorough
@given(
    path=paths,
    content_type=st.none() | content_types,
    content=st.sampled_from([b"", b'{"text": "a"}', b'{"texts": ["a"]}', b"\xff", b"text=a"]),
)
def test_content_types(
    reference: httpx.Client, service: httpx.Client, path: str, content_type: str | None, content: bytes
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    compare(reference, service, Sample("POST", path, content, headers))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "euc-kr"])
@pytest.mark.parametrize("text", ["cafe", "갈비탕", "café"])
def test_encodings(reference: httpx.Client, service: httpx.Client, encoding: str, text: str) -> None:
    try:
        content = json.dumps({"text": text}, ensure_ascii=False).encode(encoding)
    except UnicodeEncodeError:
        return
    compare(reference, service, Sample("POST", EMBED, content))


@pytest.mark.parametrize(
    "content",
    [
        b'{"text": "\\ud800"}',
        b'{"text": "a", "other": "\\ud800"}',
        b'{"\\ud800": "a"}',
        b'{"text": "\xed\xa0\x80"}',
        b'{"text": ["\\ud800"]}',
        b'{"text": "\\ud83c\\udf72"}',
        b'{"text": "a\\u0000b"}',
        b'{"text": NaN}',
        b'{"text": "a", "other": Infinity}',
        b'{"text": "a", "text": ""}',
        b'{"text": 1' + b"0" * 400 + b"}",
        b'{"text": 1' + b"0" * 5000 + b"}",
        b'{"text": "a", "normalize": 1e400}',
    ],
)
def test_odd_json(reference: httpx.Client, service: httpx.Client, content: bytes) -> None:
    compare(reference, service, Sample("POST", EMBED, content))


@pytest.mark.parametrize("depth", [10, 100, 300, 500, 900, 2_000, 100_000])
@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("field", [b"text", b"other"])
def test_deep_nesting(
    reference: httpx.Client, service: httpx.Client, depth: int, start: bytes, end: bytes, field: bytes
) -> None:
    deep = start * depth + b"1" + end * depth
    compare(reference, service, Sample("POST", EMBED, b'{"%s": %s}' % (field, deep)))


@pytest.mark.parametrize("path", ["/health", "/api/v1/model-info", "/", "/api/v1/nothing", EMBED, "/docs/nothing"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_routes_and_methods(reference: httpx.Client, service: httpx.Client, method: str, path: str) -> None:
    compare(reference, service, Sample(method, path))
