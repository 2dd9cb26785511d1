"""The measuring client and wrk against a small server that remembers what it was asked."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import bench.load
from bench.client import answer_length
from bench.load import LoadFailed, RequestSequence, checked, load, sequence
from bench.services import Service
from bench.texts import Queries


class Recorder(ThreadingHTTPServer):
    """Answers 200, or 500 where the text is "broken"."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.texts: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Recorder)
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        self.server.texts.append(text)
        self.send_response(500 if text == "broken" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    server = Recorder()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def service(recorder: Recorder) -> Iterator[Service]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield Service(
            *("fake", process, recorder.server_port, "/one", "/many"),
            single_body=lambda text: json.dumps({"text": text, "normalize": True}, ensure_ascii=False),
            batch_body=lambda texts: json.dumps({"texts": list(texts)}),
            ready_seconds=0.0,
        )


def test_a_sequence_is_sent_in_order(service: Service, recorder: Recorder) -> None:
    taken = sequence(service, "/one", [service.single_body(text) for text in ("갈비탕", "김치찌개")])
    assert recorder.texts == ["갈비탕", "김치찌개"]
    assert len(taken) == 2
    assert min(taken) > 0


def test_an_error_fails_the_sequence(service: Service) -> None:
    with pytest.raises(LoadFailed, match="1 errors in 2"):
        sequence(service, "/one", [service.single_body(text) for text in ("broken", "김치찌개")])


def test_a_sequence_ends_in_time(service: Service, recorder: Recorder) -> None:
    bodies = [service.single_body(str(number)) for number in range(200_000)]
    taken = RequestSequence(service, "/one", bodies, seconds=0.1).finish()
    assert 0 < len(taken) == len(recorder.texts) < 200_000


@pytest.fixture(params=["wrk", "own client"])
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if request.param == "own client":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif bench.load.tool() != "wrk":
        pytest.skip("wrk is not installed")


@pytest.mark.usefixtures("tool")
def test_load_asks_every_query_once(service: Service, recorder: Recorder) -> None:
    queries = Queries()
    results = [checked(load(service, 4, 1, queries)) for _ in range(2)]
    assert all(result.rate > 0 and 0 < result.p50 <= result.p99 for result in results)
    assert len(set(recorder.texts)) == len(recorder.texts) >= sum(result.requests for result in results)
    known = {queries.text(number) for number in range(2 * len(recorder.texts) + 200)}
    assert set(recorder.texts) <= known


@pytest.mark.usefixtures("tool")
def test_load_from_a_log_keeps_its_order_and_counts_errors(service: Service, recorder: Recorder) -> None:
    result = load(service, 1, 1, Queries(), ["하나", "broken"])
    assert recorder.texts[:4] == ["하나", "broken"] * 2 or recorder.texts[:4] == ["broken", "하나"] * 2
    assert result.errors > 0
    with pytest.raises(LoadFailed):
        checked(result)


def test_an_answer_without_a_length_is_refused() -> None:
    assert answer_length(b"HTTP/1.1 503 Busy\r\ncontent-length: 7\r\n\r\n") == (503, 7)
    with pytest.raises(ValueError, match="Content-Length"):
        answer_length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
