"""`python -m proxy` as a process: how it starts, refuses to start, and stops."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from bench.ports import free_ports
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


def start(**settings: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LD_LIBRARY_PATH")}
    return subprocess.Popen(
        [sys.executable, "-m", "proxy"],
        cwd=ROOT,
        env=environment | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(**settings: str) -> tuple[int, str]:
    """Exit code and what it said; it must not have started."""
    process = start(**settings)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, said


def test_a_bad_setting_stops_the_start() -> None:
    code, said = refused(PROXY_PORT="many")
    assert code == 2
    assert said.startswith("PROXY_PORT is 'many': it should be")
    assert said.count("\n") == 1


def test_a_protocol_that_traces_cannot_be_sent_by_stops_the_start() -> None:
    code, said = refused(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4317", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert code == 2
    assert said.startswith("OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': it should be http/protobuf")
    assert said.count("\n") == 1


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused(PROXY_PORT=str(port))
    assert code == 1
    assert f"Port {port} is taken" in said
    assert "PROXY_PORT" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_here_is_named_with_its_setting(host: str) -> None:
    code, said = refused(PROXY_HOST=host, PROXY_PORT=str(free_ports(1)[0]))
    assert code == 1
    assert host in said
    assert "PROXY_HOST" in said
    assert said.count("\n") == 1


def test_an_idle_connection_is_closed_after_the_time_that_is_set() -> None:
    port, nobodys = free_ports(2)
    process = start(PROXY_PORT=str(port), TRITON_URL=f"127.0.0.1:{nobodys}", KEEP_ALIVE_SECONDS="1")
    try:

        def connect() -> socket.socket | None:
            assert process.poll() is None
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection(("127.0.0.1", port), timeout=20)
            return None

        with wait_until(connect) as client:
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            began = time.monotonic()
            received = b""
            while piece := client.recv(65536):
                received += piece
            assert received.startswith(b"HTTP/1.1 200 ")
            assert time.monotonic() - began > 0.9
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_without_triton_and_stops_when_told(stop: signal.Signals) -> None:
    port, nobodys = free_ports(2)
    process = start(PROXY_PORT=str(port), TRITON_URL=f"127.0.0.1:{nobodys}", LOG_FORMAT="json")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:  # its kept connection must not hold the stop

            def ask() -> httpx.Response | None:
                assert process.poll() is None
                with contextlib.suppress(httpx.TransportError):
                    return client.get("/health")
                return None

            answer = wait_until(ask)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert "server" not in answer.headers
            told = time.monotonic()
            process.send_signal(stop)
            _, said = process.communicate(timeout=30)
            assert time.monotonic() - told < 5
    finally:
        process.kill()
        process.wait()
    assert process.returncode in (0, -stop)
    assert "Traceback" not in said
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["path"] for line in lines if line["logger"] == "proxy.access"] == ["/health"]
