"""A Triton that does not answer: started again where it is wedged, left alone where it works."""

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.launcher_run import MODEL, Run, write_toy_repository
from tests.waiting import wait_until

BUSY_SECONDS = 5  # longer than two questions of the launcher
WEDGING = MODEL.replace("import os, sys", "import os, sys, time").replace(
    "    def respond(self, request):",
    f"""    def respond(self, request):
        first = pb_utils.get_input_tensor_by_name(request, "text").as_numpy().reshape(-1)[0]
        if first == b"wedge":
            time.sleep(600)
        began = time.process_time()
        while first == b"work" and not hasattr(self, "worked"):
            if time.process_time() - began > {BUSY_SECONDS}:
                self.worked = True""",
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    running = Run(write_toy_repository(tmp_path, WEDGING), CACHE_MB="0")
    running.ready()
    yield running
    running.end()


def infer(run: Run, text: str) -> int:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}
    url = f"http://127.0.0.1:{run.ports['TRITON_HTTP_PORT']}/v2/models/sentence_embedding/infer"
    with urllib.request.urlopen(url, json.dumps({"inputs": [tensor]}).encode(), timeout=120) as answer:
        return int(answer.status)


def test_a_long_call_is_no_reason_to_end_it(run: Run) -> None:
    triton = run.triton()
    assert infer(run, "work") == 200
    wait_until(lambda: run.health() == 200)
    assert run.triton() == triton
    assert not [line for line in run.err if "killed" in line]


def test_a_wedged_step_is_started_again(run: Run) -> None:
    triton = run.triton()
    with ThreadPoolExecutor(1) as callers:
        lost = callers.submit(infer, run, "wedge")
        wait_until(lambda: "Triton is up again." in run.err)
        assert isinstance(lost.exception(), OSError)
    wait_until(lambda: run.health() == 200)
    assert run.triton() != triton
    assert "Triton is killed: for 4 s it served nothing and did nothing." in run.err
