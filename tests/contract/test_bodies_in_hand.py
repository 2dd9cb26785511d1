"""What bodies take of memory: bounded over all requests, and a few times a body's bytes for whatever is in it."""

import gzip
import json
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

import proxy.app
from proxy.app import create_app
from proxy.middleware.bodies_in_hand import BodiesInHand
from proxy.settings import Settings
from tests.contract.requests import BATCH, EMBED, assert_invalid, post_raw
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import FakeEmbedder
from tests.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> BodiesInHand:
    """Those of the service that the test asks."""
    made = BodiesInHand(4)
    monkeypatch.setattr(proxy.app, "BodiesInHand", lambda _: made)
    return made


@pytest.fixture
def address(bodies: BodiesInHand) -> Iterator[str]:
    with serve(create_app(Settings(max_body_mb=1), FakeEmbedder())) as running:
        assert bodies.bytes == 0
        yield running


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with connect(address) as opened:
        yield opened


@contextmanager
def begun(address: str, bodies: BodiesInHand, head: str) -> Iterator[None]:
    """Four requests that send all but the last byte of the largest body, and go no further."""
    host, port = address.removeprefix("http://").split(":")
    with ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            connection.sendall(f"POST {BATCH} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
            body = b"x" * (MIB - 1)
            connection.sendall(body if "Length" in head else b"%x\r\n%s\r\n" % (len(body), body))
        wait_until(lambda: bodies.bytes == 4 * (MIB - 1))
        yield
    wait_until(lambda: bodies.bytes == 0)


def large(client: httpx.Client) -> httpx.Response:
    return client.post(BATCH, json={"texts": ["a"], "padding": "x" * (MIB - 100)})


HEADS = [f"Content-Length: {MIB}", "Transfer-Encoding: chunked"]


@pytest.mark.parametrize("head", HEADS)
def test_past_the_bound_a_large_body_is_refused_at_once(
    address: str, client: httpx.Client, bodies: BodiesInHand, head: str
) -> None:
    assert large(client).status_code == 200
    with begun(address, bodies, head):
        refused = large(client)
        assert refused.status_code == 503
        assert refused.json() == {"detail": "The service has as many large request bodies in hand as it takes on."}
        assert refused.headers["retry-after"] == "1"
        in_pieces = client.post(BATCH, content=iter([b" " * 60_000, b" " * 60_000]))
        assert in_pieces.status_code == 503
        assert client.post(EMBED, json={"text": "a"}).status_code == 200, "small ones are not in the way"
        assert "embedding_refusals_total 2.0" in client.get("/metrics").text.splitlines()
    assert large(client).status_code == 200


def test_what_is_decoded_counts(address: str, client: httpx.Client, bodies: BodiesInHand) -> None:
    body = gzip.compress(json.dumps({"texts": ["a"], "padding": "x" * (MIB - 100)}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    with begun(address, bodies, HEADS[0]):
        assert client.post(BATCH, content=body, headers=headers).status_code == 503
    assert client.post(BATCH, content=body, headers=headers).status_code == 200


@pytest.fixture(scope="module")
def roomy() -> Iterator[httpx.Client]:
    with serve(create_app(Settings(), FakeEmbedder())) as address, connect(address) as client:
        yield client


def many(item: bytes, count: int = 400_000) -> bytes:
    return b"[" + b",".join([item] * count) + b"]"


@pytest.mark.parametrize("item", [b"[]", b"{}", b"null", b'"a"', b'{"":0}'])
def test_too_many_texts_are_told_as_ever(roomy: httpx.Client, item: bytes) -> None:
    answer = post_raw(roomy, BATCH, b'{"normalize": 2, "texts": ' + many(item) + b', "other": {"a": [1]}}')
    assert_invalid(answer, "too_long", ["body", "texts"])
    length, normalize = answer.json()["detail"]
    if length["type"] != "too_long":
        length, normalize = normalize, length
    assert length["ctx"] == {"field_type": "List", "max_length": 100, "actual_length": 400_000}
    assert "input" not in length
    assert (normalize["type"], normalize["input"]) == ("bool_parsing", 2)


@pytest.mark.parametrize(
    ("path", "body", "kind", "loc"),
    [
        (EMBED, b'{"text": %s}', "string_type", ["body", "text"]),
        (EMBED, b'{"other": %s}', "missing", ["body", "text"]),
        (EMBED, b"%s", "model_attributes_type", ["body"]),
        (EMBED, b'{"text": "a", "normalize": %s}', "bool_type", ["body", "normalize"]),
        (EMBED, b'{"text": "a", "truncate": %s}', "literal_error", ["body", "truncate"]),
        (BATCH, b'{"texts": ["a", %s, "b"]}', "string_type", ["body", "texts", 1]),
        (BATCH, b'{"texts": {"a": %s}}', "list_type", ["body", "texts"]),
        (EMBED, b'{"text": %s', "json_invalid", ["body", 0]),
        ("/api/v1/similarity", b'{"query": %s, "texts": ["a"]}', "string_type", ["body", "query"]),
        ("/api/v1/tokenize", b'{"texts": %s}', "too_long", ["body", "texts"]),
    ],
)
def test_every_error_is_told_as_ever(
    roomy: httpx.Client, path: str, body: bytes, kind: str, loc: list[str | int]
) -> None:
    answer = post_raw(roomy, path, body % many(b"[]"))
    assert_invalid(answer, kind, loc)
    assert len(answer.json()["detail"]) == 1
    assert "input" not in answer.json()["detail"][0] or kind == "json_invalid"


def test_a_field_that_nobody_knows_is_still_ignored(roomy: httpx.Client) -> None:
    answer = post_raw(roomy, EMBED, b'{"other": ' + many(b"[]") + b', "text": "a"}')
    assert answer.status_code == 200
    assert answer.json() == roomy.post(EMBED, json={"text": "a"}).json()


def test_long_texts_are_no_values(roomy: httpx.Client) -> None:
    texts = [', "[{:' * 20_000] * 10
    assert roomy.post(BATCH, json={"texts": texts, "other": 1}).status_code == 200


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (many(b"5", 300_001), "should have at most 300000 token ids in all"),
        (many(b"5"), "should have at most 300000 token ids in all"),
        (many(many(b"5", 200), 1501), "should have at most 300000 token ids in all"),
        (many(many(b"5", 200), 2048), "should have at most 300000 token ids in all"),
        (many(b"[]"), "should have at most 2048 items, and has 400000"),
        (many(b'"a"'), "should have at most 2048 items, and has 400000"),
    ],
)
def test_openais_inputs(roomy: httpx.Client, given: bytes, told: str) -> None:
    answer = post_raw(roomy, "/v1/embeddings", b'{"model": "fake-MiniLM", "input": ' + given + b"}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"input: {told}"
    assert answer.json()["error"]["param"] == "input"


def test_as_many_token_ids_as_openai_takes(roomy: httpx.Client) -> None:
    body = b'{"model": "fake-MiniLM", "input": ' + many(many(b"5", 300), 1000) + b"}"
    answer = post_raw(roomy, "/v1/embeddings", body)
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 1000


MEASURE = """
    import asyncio, re, sys
    from proxy.app import create_app
    from proxy.settings import Settings
    from tests.fakes.fake_embedder import FakeEmbedder

    async def post(app, path, body):
        sent, incoming = [], [{"type": "http.request", "body": body, "more_body": False}]
        async def receive():
            return incoming.pop() if incoming else await asyncio.sleep(600)
        async def send(message):
            sent.append(message)
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
        await app(scope | {"headers": headers, "root_path": "", "scheme": "http", "server": ("x", 80)}, receive, send)
        return sent[0]["status"]

    def peak():
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

    async def measure(path, item):
        embedder = FakeEmbedder()
        embedder.is_open = True
        app = create_app(Settings(), embedder, beat_seconds=0)
        name = b"input" if path.startswith("/v1/") else b"texts"
        await post(app, path, b'{"%s": [%s]}' % (name, item))
        body = b'{"%s": [%s]}' % (name, (item + b",") * (20_000_000 // (len(item) + 1)) + item)
        before = peak()
        status = await post(app, path, body)
        print(status, (peak() - before) / len(body))

    asyncio.run(measure(sys.argv[1], sys.argv[2].encode()))
"""


@pytest.mark.parametrize(
    ("path", "item", "status"),
    [
        (BATCH, "[]", 422),
        (BATCH, '{"":0}', 422),
        ("/v1/embeddings", "[1000]", 400),
        ("/v1/embeddings", '"ab"', 400),
    ],
)
def test_what_is_refused_is_not_built(path: str, item: str, status: int) -> None:
    """Without a bound, it takes up to 30 times the body's bytes, beside them."""
    run = [sys.executable, "-c", textwrap.dedent(MEASURE), path, item]
    told, ratio = subprocess.run(run, check=True, capture_output=True, text=True, timeout=120).stdout.split()
    assert int(told) == status
    assert float(ratio) < 10
