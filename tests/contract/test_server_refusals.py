"""What the server refuses before the application sees it is counted, logged and written as every other refusal is."""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from proxy.app import create_app
from proxy.logs import JsonLines, TextLines
from proxy.server.http_limits import Limits
from proxy.server.http_protocol import protocol_for
from proxy.settings import Settings
from tests.contract.raw_http import Answer, RawClient, request
from tests.contract.requests import EMBED, EMBEDDINGS
from tests.contract.serving import serve
from tests.fakes.fake_embedder import FakeEmbedder
from tests.waiting import wait_until

FEW = 3
SECRET = "갈비탕 비밀"
BODY = json.dumps({"text": SECRET}).encode()
LARGE = ("X-Large: " + "y" * 100_000,)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    protocol = protocol_for(FEW, Limits(head_seconds=0.2, stall_seconds=0.2, linger_seconds=0.2))
    with serve(create_app(Settings(), FakeEmbedder()), protocol) as running:
        yield running


def counted(address: str) -> dict[tuple[str, str], int]:
    """The requests that ended in an error, by route and status."""
    found = {}
    for line in httpx.get(f"{address}/metrics", headers={"Connection": "close"}).text.splitlines():
        if line.startswith("embedding_requests_total{"):
            labels, _, number = line.removeprefix("embedding_requests_total{").partition("} ")
            route, status = (label.split('"')[1] for label in labels.split(","))
            if int(status) >= 400:
                found[route, status] = int(float(number))
    return found


def refuse(address: str, sent: bytes) -> Answer:
    with RawClient(address) as client:
        client.send(sent)
        (answer,) = client.answers()
        return answer


CASES = {
    "no HTTP": (b"HELO there\r\n\r\n", 400, "other", "-", "-"),
    "no HTTP/1.1": (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, "other", "-", "-"),
    "two lengths": (request(BODY, "Content-Length: 3"), 400, EMBED, "POST", EMBED),
    "half a head": (request(BODY)[:40], 408, EMBED, "POST", EMBED),
    "half a body": (request(BODY, path=EMBED + "?text=secret")[:-3], 408, EMBED, "POST", EMBED),
    "bad chunk": (request(BODY, chunked=True)[:-5] + b"zz\r\n", 400, EMBED, "POST", EMBED),
    "large head": (request(BODY, *LARGE), 431, EMBED, "POST", EMBED),
    "large head elsewhere": (request(BODY, *LARGE, path="/x%0Ay"), 431, "other", "POST", "/x%0Ay"),
    "an OpenAI client": (request(BODY, *LARGE, path=EMBEDDINGS), 431, EMBEDDINGS, "POST", EMBEDDINGS),
}


@pytest.mark.parametrize("case", CASES)
def test_each_is_counted_and_has_a_line(case: str, address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sent, status, route, method, path = CASES[case]
    before = counted(address)
    caplog.clear()
    answer = refuse(address, sent)
    assert answer.status == status
    sentence = answer.json["error"]["message"] if route == EMBEDDINGS else answer.json["detail"]
    wait_until(lambda: [record for record in caplog.records if record.name == "proxy.access"])
    (record,) = [record for record in caplog.records if record.name == "proxy.access"]
    text, fields = TextLines().format(record), json.loads(JsonLines().format(record))
    assert f" INFO proxy.access {method} {path} {status} " in text
    assert text.endswith(f" ms: {sentence}")
    expected = {"method": method, "path": path, "status": status, "texts": None, "failure": sentence, "level": "info"}
    assert {name: fields[name] for name in expected} == expected
    assert isinstance(fields["milliseconds"], float)
    assert SECRET not in text
    after = counted(address)
    assert {key: number - before.get(key, 0) for key, number in after.items() if number != before.get(key, 0)} == {
        (route, str(status)): 1
    }


def test_a_surplus_connection_is_counted(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = counted(address).get((EMBEDDINGS, "503"), 0)
    with ExitStack() as stack:
        held = [stack.enter_context(RawClient(address)) for _ in range(FEW)]
        for client in held:
            client.send(b"GET / HTTP/1.1\r\nX: ")
        answer = refuse(address, request(BODY, path=EMBEDDINGS))
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json["error"]["type"] == "server_error"
    wait_until(lambda: counted(address).get((EMBEDDINGS, "503"), 0) == before + 1)
    assert any(f"POST {EMBEDDINGS} 503 " in record.getMessage() for record in caplog.records)


def test_a_client_that_leaves_is_not_refused(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = counted(address)
    for sent in (b"", b"GET /", request(BODY)[:30]):
        with RawClient(address) as client:
            client.send(sent)
    assert counted(address) == before
