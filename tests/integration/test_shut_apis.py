"""What Triton answers to anyone that reaches its ports, and what it refuses, over HTTP and gRPC."""

import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from runtime.layout import lay_out
from runtime.perf import input_data, perf_command
from runtime.settings import PROJECT_ROOT
from runtime.triton_server import perf_environment
from runtime.wheel import find_libpython, find_wheel
from tests.integration.conftest import Served

# By name, with what both of tritonclient's clients take.
SHUT: dict[str, Callable[[Any], Any]] = {
    "model index": lambda client: client.get_model_repository_index(),
    "load": lambda client: client.load_model("encoder"),
    "unload": lambda client: client.unload_model("encoder"),
    "shared memory status": lambda client: client.get_system_shared_memory_status(),
    "shared memory register": lambda client: client.register_system_shared_memory("region", "/region", 64),
    "shared memory unregister": lambda client: client.unregister_system_shared_memory(),
    "GPU memory status": lambda client: client.get_cuda_shared_memory_status(),
    "GPU memory unregister": lambda client: client.unregister_cuda_shared_memory(),
    "trace settings": lambda client: client.get_trace_settings(),
    "trace settings of a model": lambda client: client.get_trace_settings("encoder"),
    "trace to a file": lambda client: client.update_trace_settings(settings={"trace_level": ["TENSORS"]}),
    "log settings": lambda client: client.get_log_settings(),
    "log to a file": lambda client: client.update_log_settings({"log_verbose_level": 9}),
}
OPEN: dict[str, Callable[[Any], Any]] = {
    "live": lambda client: client.is_server_live(),
    "ready": lambda client: client.is_server_ready(),
    "model ready": lambda client: client.is_model_ready("sentence_embedding"),
    "server metadata": lambda client: client.get_server_metadata(),
    "model metadata": lambda client: client.get_model_metadata("sentence_embedding"),
    "configuration": lambda client: client.get_model_config("sentence_embedding"),
    "statistics": lambda client: client.get_inference_statistics(),
}


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, real_model: Served) -> Iterator[Any]:
    service = real_model.service
    made = (
        tritonclient.http.InferenceServerClient(service.triton_http)
        if request.param == "http"
        else tritonclient.grpc.InferenceServerClient(service.triton_grpc)
    )
    with closing(made):
        yield made


@pytest.mark.parametrize("name", SHUT)
def test_what_is_shut_is_refused(client: Any, name: str) -> None:
    with pytest.raises(InferenceServerException, match="restricted"):
        SHUT[name](client)


@pytest.mark.parametrize("name", OPEN)
def test_what_clients_need_is_open(client: Any, name: str) -> None:
    assert OPEN[name](client)


def test_texts_are_embedded(client: Any) -> None:
    library = tritonclient.http if isinstance(client, tritonclient.http.InferenceServerClient) else tritonclient.grpc
    tensor = library.InferInput("text", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([["갈비탕".encode()]], dtype=object))
    assert client.infer("sentence_embedding", [tensor]).as_numpy("embedding").shape == (1, 384)


def test_a_guessed_key_opens_nothing(real_model: Served) -> None:
    with httpx.Client(base_url=f"http://{real_model.service.triton_http}") as asking:
        for key in ("", "unlock", "admin"):
            assert asking.get("/v2/logging", headers={"unlock": key}).status_code == 403


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_perf_analyzer_measures(
    real_model: Served, protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.perf.CONCURRENCY", "1")
    monkeypatch.setattr("runtime.perf.WINDOW_MILLISECONDS", 300)
    wheel = find_wheel()
    environment = perf_environment(wheel, lay_out(wheel, find_libpython(), PROJECT_ROOT / "build" / "triton"))
    data = tmp_path / "queries.json"
    data.write_text(input_data(["갈비탕", "김치찌개"]), encoding="utf-8")
    address = real_model.service.triton_http if protocol == "http" else real_model.service.triton_grpc
    command = perf_command(Path(sysconfig.get_path("scripts")) / "perf_analyzer", protocol, address, data)
    measured = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert measured.returncode in (0, 2), measured.stdout + measured.stderr
    assert "Throughput: " in measured.stdout
