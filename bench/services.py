"""The services that are measured: how each is started, asked and stopped."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.ports import free_ports, free_settings
from export.source import locate, parse_source

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
WORK = BUILD / "bench"  # exports and logs of the benchmark

PEERS = ("baseline", *peers.NAMES)  # whatever else runs is ours, named by its precision
START_SECONDS = 120.0
STOP_SECONDS = 20.0
_starts = itertools.count(1)


@dataclass(frozen=True)
class Subject:
    """The model that all services serve."""

    name: str
    folder: Path  # in sentence-transformers layout

    @property
    def work(self) -> Path:
        """Where exports and logs of its run lie."""
        return WORK / self.name


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("stand-in", BUILD / "stand-in" / "multilingual-MiniLM-L12"),
        Subject("multilingual-e5-small", BUILD / "models" / "multilingual-e5-small"),
    )
}


class ServiceFailed(Exception):
    """A service that did not start; the message says which, and where its log lies."""


@dataclass(frozen=True)
class Service:
    """One that is running."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    single_path: str
    batch_path: str
    single_body: Callable[[str], str]
    batch_body: Callable[[Sequence[str]], str]
    ready_seconds: float  # from the start of its first process

    @property
    def is_ours(self) -> bool:
        return self.name not in PEERS

    @property
    def is_optional(self) -> bool:
        """Whether the benchmark goes without it where it fails."""
        return self.name in peers.NAMES


def prepare(subject: Subject, precisions: Sequence[str]) -> None:
    """Writes the model and exports it at each precision, where that is not there yet; prints what it does.

    Raises `subprocess.CalledProcessError`, and `ExportError` where the package that carries the model is not as it
    should be.
    """
    if not (subject.folder / "modules.json").is_file():
        print(f"writing the model to {subject.folder.relative_to(ROOT)} ...", flush=True)
        if subject.name == "stand-in":
            subprocess.run([sys.executable, "-m", "export.stand_in", str(subject.folder)], cwd=ROOT, check=True)
        else:
            locate(parse_source("package:multilingual_e5_small", "main"), subject.folder)
    for precision in precisions:
        print(f"exporting at {precision} where needed ...", flush=True)
        command = [sys.executable, "-m", "export", "--if-needed"]
        environment = _our_environment(subject, precision, {})
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=sys.stderr)


def repository(subject: Subject, precision: str) -> Path:
    """The exported repository of a precision."""
    return subject.work / precision / "model_repository"


@contextmanager
def running(subject: Subject, name: str, **settings: str) -> Iterator[Service]:
    """Starts `baseline`, a peer or, by the name of its precision, ours; stops it at the end.

    `settings` are further environment variables. Raises `ServiceFailed`, and `subprocess.CalledProcessError` where a
    peer cannot read the model.
    """
    subject.work.mkdir(parents=True, exist_ok=True)
    if name in PEERS:
        (port,) = free_ports(1)
        arguments = (
            [sys.executable, "-m", "bench.baseline", str(port), str(subject.folder)]
            if name == "baseline"
            else peers.named(name).prepared_command(port, subject.folder, subject.work)
        )
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", **settings}
    else:
        ports = free_settings()
        port = int(ports["PROXY_PORT"])
        arguments = [sys.executable, "-m", "runtime"]
        environment = {**_our_environment(subject, name, ports), **settings}
    log = (
        subject.work / f"{name}-{next(_starts)}.log"
    )  # one for each start: a later one must not hide why this one failed
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        while not (_healthy(port) if name in PEERS else _says_ready(log)):
            if process.poll() is not None:
                raise ServiceFailed(f"{name} ended with code {process.returncode}{_last_line(log)}")
            if time.perf_counter() - started > START_SECONDS:
                raise ServiceFailed(f"{name} was not ready in {START_SECONDS:.0f} s{_last_line(log)}")
            time.sleep(0.02)
        yield _service(name, process, port, time.perf_counter() - started)
    finally:
        stop(process)


def _service(name: str, process: "subprocess.Popen[bytes]", port: int, ready_seconds: float) -> Service:
    if name in peers.NAMES:
        path = "/embeddings"
        return Service(name, process, port, path, path, lambda text: _peer_body([text]), _peer_body, ready_seconds)
    return Service(
        name, process, port, "/api/v1/embed", "/api/v1/embed-batch", _single_body, _batch_body, ready_seconds
    )


def _single_body(text: str) -> str:
    return json.dumps({"text": text, "normalize": True}, ensure_ascii=False)


def _batch_body(texts: Sequence[str]) -> str:
    return json.dumps({"texts": list(texts), "normalize": True}, ensure_ascii=False)


def _peer_body(texts: Sequence[str]) -> str:
    return json.dumps({"model": "bench", "input": list(texts)}, ensure_ascii=False)


def _our_environment(subject: Subject, precision: str, ports: Mapping[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        **ports,
        "HF_HUB_OFFLINE": "1",
        "MODEL": str(subject.folder),
        "PRECISION": precision,
        "MODEL_REPOSITORY": str(repository(subject, precision)),
        "CACHE_MB": "0",
    }


def _says_ready(log: Path) -> bool:
    with log.open("rb") as file:
        return b"\nReady: " in b"\n" + file.read(100_000)  # the line comes before any request's


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it wrote nothing")
    return f" ({log.relative_to(ROOT)}: {last.strip()})"


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


def stop(process: "subprocess.Popen[bytes]") -> int:
    """SIGTERM, and SIGKILL after `STOP_SECONDS`; the exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
