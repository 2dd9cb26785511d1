"""The short way for well-formed requests answers as FastAPI does: generated requests go both ways."""

import asyncio
import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.types import Message

import proxy.api.fast_routes
import proxy.app
from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.requests import BATCH, EMBED, EMBEDDINGS
from tests.fakes.fake_embedder import MODEL, FakeEmbedder

Headers = list[tuple[bytes, bytes]]
JSON_TYPE = (b"content-type", b"application/json")


class Service:
    """An application that is asked without a server."""

    def __init__(self, app: FastAPI, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop

    def post(self, path: str, pieces: list[bytes], headers: Headers) -> tuple[Any, ...]:
        """Status, headers but the time, body, and what is logged and counted: the number of texts, and the failure."""
        return self._loop.run_until_complete(self._post(path, pieces, headers))

    async def _post(self, path: str, pieces: list[bytes], headers: Headers) -> tuple[Any, ...]:
        incoming: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        incoming.append({"type": "http.request", "body": b"", "more_body": False})
        sent: list[Message] = []
        state: dict[str, Any] = {}

        async def receive() -> Message:
            if not incoming:
                await asyncio.sleep(600)
            return incoming.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
        }
        scope |= {"headers": headers, "state": state, "root_path": "", "scheme": "http", "server": ("test", 80)}
        await self._app(scope, receive, send)
        assert not incoming, "the body is read"
        head, *rest = sent
        told = sorted(header for header in head["headers"] if header[0] != b"server-timing")
        body = b"".join(message.get("body", b"") for message in rest)
        return head["status"], told, body, state.get("text_count"), state.get("failure")


@pytest.fixture(scope="module")
def ways() -> Iterator[tuple[Service, Service]]:
    """With the short way, and without."""
    loop = asyncio.new_event_loop()
    embedder = FakeEmbedder()
    embedder.is_open = True
    with pytest.MonkeyPatch.context() as patch:
        short = create_app(Settings(), embedder, beat_seconds=0)
        short.middleware_stack = short.build_middleware_stack()
        patch.setattr(proxy.app, "FastRoutes", lambda app, **_: app)
        whole = create_app(Settings(), embedder, beat_seconds=0)
        whole.middleware_stack = whole.build_middleware_stack()
        yield Service(short, loop), Service(whole, loop)
    loop.close()


def same(ways: tuple[Service, Service], path: str, body: bytes, headers: Headers) -> tuple[Any, ...]:
    """The answer, which both give."""
    short, whole = (way.post(path, [body], headers) for way in ways)
    assert short == whole
    return short


TEXT = st.one_of(
    st.text(max_size=30), st.sampled_from(["", "갈비탕", "🍲", "a" * 1000, "a" * 1001, "\0", "\ud800", " word" * 150])
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, 2**31, 2**63, 2**64, -0.0, float("nan"), float("inf"), 1e308, 0.5, 1.0, "true", "0", {}]),
    TEXT,
    st.recursive(st.none() | TEXT | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=5),
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is right, at times something else."""
    return st.integers(0, 5).flatmap(lambda roll: ODD if roll == 0 else usual)


TEXTS = st.one_of(st.lists(TEXT, min_size=1, max_size=4), st.sampled_from([["a"] * 100, ["a"] * 101, []]))
IDS = st.lists(st.integers(-1, 50), max_size=5)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "text": mostly(TEXT),
    "texts": mostly(TEXTS),
    "input": mostly(st.one_of(TEXT, TEXTS, IDS, st.lists(IDS, max_size=3), st.just(["a"] * 2049))),
    "model": mostly(st.sampled_from([MODEL.name, f"org/{MODEL.name}", "another"])),
    "normalize": mostly(st.booleans()),
    "truncate": mostly(st.sampled_from(["right", "left", "error"])),
    "return_tokens": mostly(st.booleans()),
    "encoding_format": mostly(st.sampled_from(["float", "base64", None])),
    "dimensions": mostly(st.sampled_from([None, 1, 8, 16, 17, 0, -1])),
    "user": mostly(st.sampled_from(["someone"])),
    "other": ODD,
}
NEEDED = {EMBED: ["text"], BATCH: ["texts"], EMBEDDINGS: ["input", "model"]}
SPACE = st.sampled_from(["", "", "", " ", "\n\t ", "\r\n"])


@st.composite
def documents(draw: st.DrawFn, path: str) -> bytes:
    """A JSON object, as somebody might write it: fields twice, spaces, escapes."""
    names = NEEDED[path] + draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4))
    names = draw(st.permutations(names)) if draw(st.integers(0, 9)) else names[1:]
    written = []
    for name in names:
        value = json.dumps(draw(FIELDS[name]), ensure_ascii=draw(st.booleans()))
        key = json.dumps(name) if draw(st.integers(0, 9)) else '"' + "".join(f"\\u{ord(c):04x}" for c in name) + '"'
        written.append(f"{draw(SPACE)}{key}{draw(SPACE)}:{draw(SPACE)}{value}{draw(SPACE)}")
    text = f"{draw(SPACE)}{{{','.join(written)}}}{draw(SPACE)}"
    return text.encode("utf-8", draw(st.sampled_from(["surrogatepass", "replace"])))


def broken(body: bytes, draw: st.DrawFn) -> bytes:
    """The body with something wrong about it, or odd."""
    at = draw(st.integers(0, len(body)))
    breaks: list[Callable[[], bytes]] = [
        lambda: body[:at],
        lambda: body[:at] + draw(st.binary(min_size=1, max_size=2)) + body[at:],
        lambda: body[:at] + body[at + 1 :],
        lambda: codecs.BOM_UTF8 + body,
        lambda: body.decode("utf-8", "replace").encode("utf-16"),
        lambda: body + b"\0",
        lambda: body + body,
        lambda: b"[" + body + b"]",
        lambda: draw(st.binary(max_size=20)),
    ]
    return draw(st.sampled_from(breaks))()


TYPES = [b"application/json", b"application/json; charset=utf-8", b"Application/JSON", b"application/json;x=y", b""]
TYPES += [b"text/plain", b"application/problem+json", b"application/jsonx", b" application/json", b"application/json,"]
TIMES = [
    b"1",
    b"0.5",
    b"30.0",
    b"0",
    b"0.0",
    b"-1",
    b"1e3",
    b" 1",
    b"1_0",
    b"nan",
    b"inf",
    b"soon",
    b"",
    b"00.1",
    b"1.",
]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes, Headers]:
    path = draw(st.sampled_from([EMBED, BATCH, EMBEDDINGS]))
    body = draw(documents(path))
    if draw(st.integers(0, 4)) == 0:
        body = broken(body, draw)
    headers: Headers = [(b"content-length", str(len(body)).encode())]
    if draw(st.integers(0, 4)):
        headers.append(JSON_TYPE)
    else:
        headers += [(b"content-type", value) for value in draw(st.lists(st.sampled_from(TYPES), max_size=2))]
    if draw(st.integers(0, 3)) == 0:
        headers += [(b"x-request-timeout", value) for value in draw(st.lists(st.sampled_from(TIMES), max_size=2))]
    return path, body, headers


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=requests())
@example(request=(EMBED, b'{"text":"a","text":"b"}', [JSON_TYPE]))
@example(request=(EMBED, b'{"text":1,"text":"b"}', [JSON_TYPE]))
@example(request=(EMBED, b'{"text":"a","other":"\xff"}', [JSON_TYPE]))
@example(request=(EMBED, b'{"text":"\xed\xa0\x80"}', [JSON_TYPE]))
@example(request=(EMBED, b'{"text":"a","normalize":NaN}', [JSON_TYPE]))
@example(request=(EMBEDDINGS, b'{"input":"a","model":"fake-MiniLM","dimensions":1.0}', [JSON_TYPE]))
@example(request=(EMBEDDINGS, b'{"input":[5, 6],"model":"fake-MiniLM"}', [JSON_TYPE]))
def test_both_ways_answer_alike(ways: tuple[Service, Service], request: tuple[str, bytes, Headers]) -> None:
    same(ways, *request)


def test_a_body_in_pieces(ways: tuple[Service, Service]) -> None:
    pieces = [b'{"te', b'xt": "a', b'"}']
    short, whole = (way.post(EMBED, pieces, [JSON_TYPE, (b"content-length", b"14")]) for way in ways)
    assert short == whole
    assert short[0] == 200
    assert short[3] == 1


def test_the_usual_requests_take_the_short_way(ways: tuple[Service, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy.api.fast_routes, "_parse", lambda *_: pytest.fail("parsed here"))
    for path, body in (
        (EMBED, {"text": "갈비탕", "normalize": True}),
        (BATCH, {"texts": ["a", "b"], "normalize": False, "truncate": "left", "return_tokens": True}),
        (EMBEDDINGS, {"input": ["a"], "model": MODEL.name, "encoding_format": "base64", "user": "x"}),
    ):
        with pytest.raises(pytest.fail.Exception):
            ways[0].post(path, [json.dumps(body).encode()], [JSON_TYPE])


@pytest.mark.parametrize("failing", [False, True])
def test_many_texts(ways: tuple[Service, Service], failing: bool) -> None:
    texts: list[Any] = ['a, "b" [c]' * 2000] * 100
    if failing:
        texts[50] = 5
    answer = same(ways, BATCH, json.dumps({"texts": texts}).encode(), [JSON_TYPE])
    assert answer[0] == (422 if failing else 200)
