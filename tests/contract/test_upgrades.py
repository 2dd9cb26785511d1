"""A request that asks for another protocol is answered as if it did not; its body is a body and no request."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.raw_http import RawClient, request, text_request
from tests.contract.requests import EMBED, MODEL_INFO
from tests.contract.serving import serve
from tests.fakes.fake_embedder import FakeEmbedder, encode

TEXT = json.dumps({"text": "갈비탕"}).encode()
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADES = {
    "JDK": ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk", "Upgrade: h2c"),
    "WebSocket": ("Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13"),
    "TLS": ("connection: upgrade", "upgrade: TLS/1.0, HTTP/1.1"),
}
kinds = pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)


@pytest.fixture(scope="module")
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture(scope="module")
def address(embedder: FakeEmbedder) -> Iterator[str]:
    with serve(create_app(Settings(), embedder)) as running:
        yield running


def in_parts(whole: bytes, parts: str) -> list[bytes]:
    end_of_head = whole.index(b"\r\n\r\n") + 4
    if parts == "head and body":
        return [whole[:end_of_head], whole[end_of_head:]]
    return [whole[place : place + 1] for place in range(len(whole))] if parts == "bytes" else [whole]


@kinds
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("parts", ["one", "head and body", "bytes"])
def test_the_body_is_read(upgrade: tuple[str, ...], chunked: bool, parts: str, address: str) -> None:
    whole = request(TEXT, *upgrade, chunked=chunked)
    with RawClient(address) as client:
        for _ in range(2):  # the connection goes on as HTTP/1.1
            client.send(*in_parts(whole, parts))
            answer = client.answer()
            assert answer is not None
            assert answer.status == 200
            np.testing.assert_array_equal(np.float32(answer.json["embedding"]), encode(["갈비탕"], True)[0])
        client.send(request(method="GET", path="/nothing"))
        last = client.answer()
        assert last is not None
        assert last.status == 404, "nothing came in between"


@kinds
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("parts", ["one", "head and body"])
def test_no_request_is_hidden_in_a_body(
    upgrade: tuple[str, ...], chunked: bool, parts: str, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with RawClient(address) as client:
        client.send(*in_parts(request(HIDDEN, *upgrade, chunked=chunked), parts))
        client.send(request(b"", "Connection: close", method="GET", path=MODEL_INFO))
        assert [answer.status for answer in client.answers()] == [422, 200]
    assert not any("smuggled" in record.getMessage() for record in caplog.records)


@kinds
def test_it_is_one_of_many_in_a_pipeline(upgrade: tuple[str, ...], address: str, embedder: FakeEmbedder) -> None:
    embedder.calls.clear()
    requests = [text_request(f"text {number}", *(upgrade if number % 2 else ())) for number in range(6)]
    with RawClient(address) as client:
        client.send(b"".join(requests) + request(b"", "Connection: close", method="GET", path=MODEL_INFO))
        assert [answer.status for answer in client.answers()] == [200] * 7
    assert embedder.calls == [[f"text {number}"] for number in range(6)]


def test_a_large_body_after_a_large_head(address: str) -> None:
    body = json.dumps({"text": "a", "padding": "x" * 500_000}).encode()
    with RawClient(address) as client:
        client.send(request(body, *UPGRADES["JDK"], "X-Padding: " + "y" * 20_000))
        answer = client.answer()
        assert answer is not None
        assert answer.status == 200


def test_there_is_no_way_through_to_another_server(address: str) -> None:
    for target in ("example.com:443", "/"):
        with RawClient(address) as client:
            client.send(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + HIDDEN)
            assert [answer.status for answer in client.answers()] == [400]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("options", [["--http2"], ["--http2", "-H", "Expect: 100-continue"], ["--http1.0"]])
def test_curl(options: list[str], address: str) -> None:
    told = [
        "-sS",
        "--max-time",
        "30",
        "-w",
        "\n%{http_code}",
        "-H",
        "Content-Type: application/json",
        "-d",
        TEXT.decode(),
    ]
    asked = subprocess.run(["curl", *options, *told, address + EMBED], check=True, capture_output=True, timeout=60)
    body, _, status = asked.stdout.rpartition(b"\n")
    assert status == b"200"
    np.testing.assert_array_equal(np.float32(json.loads(body)["embedding"]), encode(["갈비탕"], True)[0])
