"""The launcher with the real Triton and the real proxy: ready, stopped, killed, and what it says when it cannot start.

The model stands in for the ensemble: text in, a vector of the text's bytes out, with every tensor type that the real
steps pass, so that this also shows that tensors go through the Python backend unharmed.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.digests import check_digests
from tests.integration.launcher_run import Run, regions, write_toy_repository
from tests.processes import alive, descendants
from tests.waiting import wait_until

STOP_SECONDS = 5.0


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_repository(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def start(repository: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(export_command: list[str] | None = None, **settings: str) -> Run:
        settings = {"MODEL_REPOSITORY": str(repository), **settings}
        runs.append(Run(Path(settings.pop("MODEL_REPOSITORY")), export_command, **settings))
        return runs[-1]

    yield begin
    for run in runs:
        run.end()


def test_ready_then_stopped_without_a_trace(start: Callable[..., Run]) -> None:
    run = start()
    run.ready()
    prefix = run.prefix()
    address = run.url
    assert run.out == [
        f"Ready: {address} (toy, 4 dimensions). Try: curl -X POST {address}/api/v1/embed "
        """-H 'Content-Type: application/json' -d '{"text": "갈비탕"}'"""
    ]
    # The curl of that line, as a shell runs it.
    answer = subprocess.run(
        ["/bin/sh", "-c", run.out[0].partition("Try: ")[2] + " -sS"], capture_output=True, check=True, timeout=30
    )
    assert json.loads(answer.stdout)["dim"] == 4
    family = descendants(run.process.pid)
    assert sum("triton_python_backend_stub" in command for command in family.values()) == 1
    assert len(regions(prefix)) == 2, "one for the stub, and the lock"
    asked = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 0
    assert time.monotonic() - asked < STOP_SECONDS
    assert not [command for pid, command in family.items() if alive(pid)]
    assert regions(prefix) == set()
    assert len(run.out) == 1


def test_tensors_pass_the_python_backend_unharmed(start: Callable[..., Run]) -> None:
    import tritonclient.http as triton

    run = start()
    run.ready()
    texts = ["갈비탕", "", "ab", "x" * 5000] * 25
    client = triton.InferenceServerClient(f"127.0.0.1:{run.ports['TRITON_HTTP_PORT']}")
    given = triton.InferInput("text", [len(texts), 1], "BYTES")
    given.set_data_from_numpy(np.array([[text.encode()] for text in texts], dtype=np.object_))
    result = client.infer("sentence_embedding", [given])
    client.close()
    expected = np.array([list((text.encode() + bytes(4))[:4]) for text in texts], dtype=np.float32)
    assert np.array_equal(result.as_numpy("embedding"), expected)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(result.as_numpy("normalized_embedding"), expected / np.maximum(lengths, 1e-12), atol=1e-7)
    assert result.as_numpy("token_count").tolist() == [[len(text.encode())] for text in texts]
    assert result.as_numpy("truncated").tolist() == [[True]] * len(texts)
    assert result.as_numpy("input_ids").reshape(-1).tolist() == list(range(3 * len(texts)))
    assert set(result.as_numpy("threads").reshape(-1).tolist()) == {int(os.environ.get("OMP_NUM_THREADS", 1))}


def test_ctrl_c_stops_it_and_a_second_one_at_once(start: Callable[..., Run]) -> None:
    run = start()
    run.ready()
    family = descendants(run.process.pid)
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    assert run.wait() == 0
    assert time.monotonic() - asked < STOP_SECONDS
    assert not [command for pid, command in family.items() if alive(pid)]


def test_a_killed_triton_comes_back(start: Callable[..., Run]) -> None:
    run = start()
    run.ready()
    prefix, killed = run.prefix(), run.triton()
    before = regions(prefix)
    stubs = [pid for pid, command in descendants(killed).items() if "backend_stub" in command]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: "Triton is up again." in run.err)
    wait_until(lambda: run.health() == 200)
    assert run.triton() != killed
    assert not any(alive(pid) for pid in [killed, *stubs])
    assert run.prefix() == prefix
    assert len(regions(prefix)) == len(before), "the regions of the killed one are still there"
    assert "Triton was ended by SIGKILL; starting it again in 0.2 s." in run.err
    assert len(run.out) == 1


def test_a_killed_proxy_comes_back(start: Callable[..., Run]) -> None:
    run = start()
    run.ready()
    proxy = next(pid for pid, command in descendants(run.process.pid).items() if "-m proxy" in command)
    os.kill(proxy, signal.SIGKILL)
    wait_until(lambda: "The proxy is up again." in run.err)
    wait_until(lambda: run.health() == 200)


def test_a_killed_launcher_leaves_nothing_and_the_next_one_clears_up(start: Callable[..., Run]) -> None:
    run = start()
    run.ready()
    prefix = run.prefix()
    family = descendants(run.process.pid)
    run.process.kill()
    # Triton and the proxy die with it; a stub finds out by itself.
    wait_until(lambda: not any(alive(pid) for pid in family), 20)
    assert regions(prefix), "the test shows nothing without"
    again = start()
    again.ready()
    assert regions(prefix) == set()


def test_a_taken_port_is_told_before_anything_starts(start: Callable[..., Run]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = start(["sh", "-c", "echo exported"], TRITON_GRPC_PORT=port)
        assert run.wait() == 1
    assert run.err == [f"error: Port {port} is taken: free it or set TRITON_GRPC_PORT to another."]
    assert run.out == []


def test_a_bad_setting_is_told(start: Callable[..., Run]) -> None:
    run = start(PROXY_PORT="0")
    assert run.wait() == 2
    assert run.err == [
        "error: PROXY_PORT must be a port from 1 to 65535 (0, for any free port, is not allowed), not '0'."
    ]


def test_a_failed_export_ends_the_run_with_its_exit_code(start: Callable[..., Run]) -> None:
    run = start(["sh", "-c", "echo 'error: no model' >&2; exit 7"])
    assert run.wait() == 7
    assert run.err == ["error: no model"]


def test_a_signal_during_the_export_stops_it(start: Callable[..., Run]) -> None:
    run = start(["sh", "-c", "trap 'echo cleared up >&2; exit' TERM; sleep 60 & echo exporting >&2; wait"])
    wait_until(lambda: run.err == ["exporting"])
    family = descendants(run.process.pid)
    assert len(family) == 2
    run.process.send_signal(signal.SIGTERM)
    assert run.wait(STOP_SECONDS) == 0
    assert run.err == ["exporting", "cleared up"]
    assert not any(alive(pid) for pid in family)


def test_a_missing_repository_is_told(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(MODEL_REPOSITORY=str(tmp_path / "none"))
    assert run.wait() == 1
    assert run.err == [f"error: MODEL_REPOSITORY names {tmp_path / 'none'}, which is not there: run `make export`."]


def test_a_model_that_is_not_as_it_was_exported_is_told(start: Callable[..., Run], tmp_path: Path) -> None:
    changed = write_toy_repository(tmp_path) / "sentence_embedding" / "1" / "model.py"
    with changed.open("a") as file:
        file.write("raise SystemExit('this must not run')")
    run = start(MODEL_REPOSITORY=str(tmp_path))
    assert run.wait() == 1
    assert run.err == [f"error: {changed} is not as it was exported (its SHA-256 differs): run `make export`."]
    assert run.out == []


def test_a_model_that_is_changed_meanwhile_is_not_started_again(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(MODEL_REPOSITORY=str(write_toy_repository(tmp_path)))
    run.ready()
    changed = tmp_path / "sentence_embedding" / "1" / "model.py"
    os.truncate(changed, 100)
    os.kill(run.triton(), signal.SIGKILL)
    assert run.wait() == 1
    assert run.err[-1].startswith(f"error: {changed} is not as it was exported")


def test_serving_leaves_the_repository_as_it_was_exported(start: Callable[..., Run], tmp_path: Path) -> None:
    repository = write_toy_repository(tmp_path)
    run = start(MODEL_REPOSITORY=str(repository))
    run.ready()
    check_digests(repository)


def test_a_model_that_does_not_load_is_told_once_and_ends_the_run(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(MODEL_REPOSITORY=str(write_toy_repository(tmp_path, "import no_such_module\n")))
    assert run.wait() == 1
    why = "No module named 'no_such_module' (model.py, line 1)"
    assert run.err[-1].startswith("error: Triton ended with exit code 1 5 times and was never up: ")
    assert run.err[-1].endswith(f"{why}.")
    assert sum(line.endswith(why) for line in run.err) == 1


def test_not_ready_in_time_says_what_is_missing(start: Callable[..., Run], tmp_path: Path) -> None:
    slow = write_toy_repository(tmp_path, "import time\ntime.sleep(60)\n")
    run = start(MODEL_REPOSITORY=str(slow), START_TIMEOUT_SECONDS="2")
    wait_until(lambda: any("triton_python_backend_stub" in each for each in descendants(run.process.pid).values()))
    family = descendants(run.process.pid)
    assert run.wait() == 1
    assert run.err[-1] == "error: Not ready after START_TIMEOUT_SECONDS (2 s): Triton still loads sentence_embedding."
    assert not [command for pid, command in family.items() if alive(pid)]
