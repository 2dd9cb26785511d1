"""Compressed bodies, within the bounds of plain ones; and bodies that name another charset than they may have."""

import gzip
import json
import zlib
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.raw_http import RawClient, request
from tests.contract.requests import BATCH, EMBED, EMBEDDINGS, LIVE, MODEL_INFO
from tests.contract.serving import connect, serve
from tests.fakes.fake_embedder import MODEL, FakeEmbedder, encode
from tests.waiting import wait_until

MIB = 1 << 20
BODY = json.dumps({"text": "갈비탕", "padding": "x" * 100}).encode()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve(create_app(Settings(max_body_mb=1), FakeEmbedder())) as running:
        yield running


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    with connect(address) as opened:
        yield opened


def bare(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def post(client: httpx.Client, body: bytes, coding: str, path: str = EMBED) -> httpx.Response:
    return client.post(path, content=body, headers={"Content-Type": "application/json", "Content-Encoding": coding})


SENT = {
    "gzip": (gzip.compress(BODY), "gzip"),
    "x-gzip": (gzip.compress(BODY), "X-GZIP"),
    "members": (gzip.compress(BODY[:20]) + gzip.compress(b"") + gzip.compress(BODY[20:]), "gzip"),
    "deflate": (zlib.compress(BODY), "deflate"),
    "bare deflate": (bare(BODY), "deflate"),
    "identity": (BODY, "identity"),
    "nothing": (BODY, ""),
    "two": (gzip.compress(zlib.compress(BODY)), "deflate, gzip"),
    "with identity": (gzip.compress(BODY), "identity , gzip,identity"),
    "stored": (gzip.compress(BODY, 0), "gzip"),
}


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_decoded(sent: str, chunked: bool, address: str) -> None:
    body, coding = SENT[sent]
    with RawClient(address) as raw:
        raw.send(request(body, f"Content-Encoding: {coding}", chunked=chunked))
        answer = raw.answer()
    assert answer is not None
    assert answer.status == 200
    np.testing.assert_array_equal(np.float32(answer.json["embedding"]), encode(["갈비탕"], True)[0])


def test_each_route_takes_it(client: httpx.Client) -> None:
    for path, body in ((BATCH, {"texts": ["a"]}), (EMBEDDINGS, {"input": "a", "model": MODEL.name})):
        assert post(client, gzip.compress(json.dumps(body).encode()), "gzip", path).status_code == 200


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 5 * MIB])
@pytest.mark.parametrize("pack", [gzip.compress, lambda body: gzip.compress(body, 0)])
def test_the_limit_is_of_the_decoded_body(size: int, pack: "type[bytes]", client: httpx.Client) -> None:
    body = BODY + b" " * (size - len(BODY))
    packed = pack(body)
    answer = post(client, packed, "gzip")
    assert answer.status_code == (200 if size <= MIB and len(packed) <= MIB else 413)


@pytest.mark.parametrize("path", [EMBED, EMBEDDINGS])
@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "deflate"])
def test_a_bomb_ends_at_the_limit(
    path: str, coding: str, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = zlib.compress(bytes(64 * MIB), 9) if coding == "deflate" else gzip.compress(bytes(64 * MIB), 9)
    bomb = gzip.compress(bomb) if coding == "gzip, gzip" else bomb
    out = 0
    make = zlib.decompressobj

    class Counting:
        def __init__(self, form: int) -> None:
            self._real = make(form)

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        def decompress(self, data: bytes, most: int) -> bytes:
            nonlocal out
            piece = self._real.decompress(data, most)
            out += len(piece)
            return piece

    monkeypatch.setattr("proxy.middleware.content_coding.zlib.decompressobj", Counting)
    answer = post(client, bomb, coding, path)
    assert answer.status_code == 413
    assert out < 1.5 * MIB
    told = answer.json()
    assert "1 MB" in (told["error"]["message"] if path == EMBEDDINGS else told["detail"])


@pytest.mark.parametrize("path", [EMBED, EMBEDDINGS])
@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br", "*", "gzip;q=1", ", ".join(["gzip"] * 4)])
def test_others_are_refused_with_what_would_be_right(coding: str, path: str, client: httpx.Client) -> None:
    answer = post(client, b"whatever", coding, path)
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, deflate, identity"
    told = answer.json()
    sentence = told["error"]["message"] if path == EMBEDDINGS else told["detail"]
    assert "gzip or deflate" in sentence
    if path == EMBEDDINGS:
        assert told["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (BODY, "gzip"),
        (gzip.compress(BODY)[:-5], "gzip"),
        (gzip.compress(BODY)[:5], "gzip"),
        (gzip.compress(BODY) + b"rubbish", "gzip"),
        (gzip.compress(BODY)[:-8] + bytes(8), "gzip"),
        (zlib.compress(BODY) + b"x", "deflate"),
        (BODY, "deflate"),
        (zlib.compress(BODY), "gzip"),
        (gzip.compress(BODY), "gzip, gzip"),
    ],
)
def test_what_is_not_as_it_says_is_told(body: bytes, coding: str, client: httpx.Client) -> None:
    answer = post(client, body, coding)
    assert answer.status_code == 400
    assert answer.json() == {"detail": "The request body is not what its Content-Encoding says."}


def test_without_a_body_there_is_nothing_to_decode(client: httpx.Client) -> None:
    assert client.get(MODEL_INFO, headers={"Content-Encoding": "br"}).status_code == 200
    assert client.get(LIVE, headers={"Content-Type": "text/plain; charset=euc-kr"}).status_code == 200
    assert post(client, b"", "gzip").status_code == 422


TYPES = [
    'application/json; charset="utf-8"',
    "application/json;charset=UTF-8",
    "application/json; Charset = Utf-8",
    "application/json; charset='utf-8'",
    "application/json; charset=utf8",
    "application/json; charset=",
    "application/json; profile=charset",
    'application/json; x="; charset=latin-1"; charset=utf-8',
    "APPLICATION/JSON; CHARSET=UTF-8",
]


@pytest.mark.parametrize("content_type", TYPES)
def test_utf_8_by_any_spelling(content_type: str, client: httpx.Client) -> None:
    answer = client.post(EMBED, content=BODY, headers={"Content-Type": content_type})
    assert answer.status_code == 200
    np.testing.assert_array_equal(np.float32(answer.json()["embedding"]), encode(["갈비탕"], True)[0])


@pytest.mark.parametrize("charset", ["euc-kr", "ISO-8859-1", "latin-1", '"utf-16"', "utf-8-sig", "cp949", "nothing"])
@pytest.mark.parametrize("path", [EMBED, EMBEDDINGS])
def test_another_charset_is_refused(charset: str, path: str, client: httpx.Client) -> None:
    text = json.dumps({"text": "a"}).encode()
    answer = client.post(path, content=text, headers={"Content-Type": f"application/json; charset={charset}"})
    assert answer.status_code == 415
    told = answer.json()
    assert "UTF-8" in (told["error"]["message"] if path == EMBEDDINGS else told["detail"])


def test_a_refusal_is_in_the_log(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    post(client, b"x", "br")
    wait_until(lambda: [record for record in caplog.records if record.name == "proxy.access"])
    (line,) = [record.getMessage() for record in caplog.records if record.name == "proxy.access"]
    assert f"POST {EMBED} 415 " in line
    assert "Content-Encoding" in line
