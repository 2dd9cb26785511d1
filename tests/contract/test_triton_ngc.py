"""The script that starts NVIDIA's Triton, with a stand-in for the server that only says how it was started."""

import os
import subprocess
from pathlib import Path

import pytest

from export.digests import seal
from runtime.settings import PROJECT_ROOT
from runtime.tracing import trace_options

SCRIPT = PROJECT_ROOT / "docker" / "triton-ngc.sh"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "exported" / "encoder" / "1").mkdir(parents=True)
    (tmp_path / "exported" / "encoder" / "1" / "model.pt").write_text("weights")
    seal(tmp_path / "exported")
    (tmp_path / "model_repository").symlink_to("exported")
    return tmp_path / "exported"


def run(repository: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    server = repository.parent / "tritonserver"
    server.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    server.chmod(0o755)
    script = SCRIPT.read_text().replace("/models/exported", str(repository.parent))
    environment = os.environ | {"PATH": f"{repository.parent}:{os.environ['PATH']}"} | settings
    return subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=False)


def test_it_serves_the_folder_behind_the_link_with_what_is_shut(repository: Path) -> None:
    first, second = run(repository).stdout.splitlines(), run(repository).stdout.splitlines()
    assert f"--model-repository={repository}" in first
    for option in ("--http-restricted-api=", "--grpc-restricted-protocol="):
        (given,) = (line.removeprefix(option) for line in first if line.startswith(option))
        parts, _, key = given.partition(":unlock=")
        assert parts == "model-repository,shared-memory,trace,logging"
        assert len(key) == 64
        assert option + given not in second


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector/traces", "OTEL_SERVICE_NAME": "mine"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_it_traces_as_the_embedded_one_does(repository: Path, settings: dict[str, str]) -> None:
    given = [line for line in run(repository, **settings).stdout.splitlines() if "trace-config" in line]
    assert given == trace_options(settings)


@pytest.mark.parametrize("harmed", ["model.pt", "model.py"])
def test_a_repository_that_differs_is_not_served(repository: Path, harmed: str) -> None:
    (repository / "encoder" / "1" / harmed).write_text("changed")
    ended = run(repository)
    assert (ended.returncode, ended.stdout.count("--")) == (1, 0)
    assert harmed in ended.stdout + ended.stderr
    assert "error: " in ended.stderr
