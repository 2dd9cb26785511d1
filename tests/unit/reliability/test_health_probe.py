"""The probe beside a load: statuses, slow answers, and none at all."""

import http.server
import threading
import time

from reliability.health_probe import PATHS, probing
from tests.waiting import wait_until


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/health":
            time.sleep(0.2)
        self.send_response(200 if self.path == "/health" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_statuses_and_slow_answers_are_kept() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with probing(f"http://127.0.0.1:{server.server_port}", 0.01) as probes:
            wait_until(lambda: len(probes.answers) >= 4)
        server.shutdown()
        thread.join()
    assert {probe.path for probe in probes.answers} == set(PATHS)
    assert set(probes.statuses()) == {200, 503}
    assert {probe.path for probe in probes.slow()} >= {"/health"}
    assert probes.document()["answers"] == len(probes.answers)


def test_no_answer_has_the_status_0() -> None:
    with probing("http://127.0.0.1:9") as probes:
        wait_until(lambda: probes.answers)
    assert set(probes.statuses()) == {0}
