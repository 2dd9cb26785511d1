"""A client that hangs up ends the work that was done for it."""

import socket

import pytest

from proxy.app import create_app
from proxy.settings import Settings
from tests.contract.serving import connect, serve
from tests.fakes.slow_embedder import SlowEmbedder
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("path", "body"), [("/api/v1/embed", '{"text": "a"}'), ("/api/v1/embed-batch", '{"texts": ["a", "b"]}')]
)
def test_the_work_is_cancelled(path: str, body: str) -> None:
    embedder = SlowEmbedder()
    with serve(create_app(Settings(), embedder)) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            client.sendall(f"{head}\r\n\r\n{body}".encode())
            wait_until(lambda: len(embedder.calls) == 1)
            assert embedder.cancelled == 0
        wait_until(lambda: embedder.cancelled == 1)
        with connect(address) as patient:
            embedder.release_from_elsewhere()
            assert patient.post("/api/v1/embed", json={"text": "b"}).status_code == 200
