"""The launcher, run for tests with the real Triton and the real proxy, on a model of a few lines."""

import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from bench.ports import free_settings
from bench.processes import arguments
from export.digests import seal
from runtime.settings import PROJECT_ROOT
from tests.processes import descendants
from tests.waiting import wait_until

CONFIG = """
name: "sentence_embedding" backend: "python" max_batch_size: 128
input [{ name: "text" data_type: TYPE_STRING dims: [1] }]
output [
  { name: "embedding" data_type: TYPE_FP32 dims: [4] }, { name: "normalized_embedding" data_type: TYPE_FP32 dims: [4] },
  { name: "token_count" data_type: TYPE_INT32 dims: [1] }, { name: "truncated" data_type: TYPE_BOOL dims: [1] },
  { name: "input_ids" data_type: TYPE_INT64 dims: [-1] }, { name: "threads" data_type: TYPE_INT32 dims: [1] },
  { name: "tokenizer_span" data_type: TYPE_INT64 dims: [2] }, { name: "pooling_span" data_type: TYPE_INT64 dims: [2] },
  { name: "model_identity" data_type: TYPE_UINT8 dims: [16] }
]
instance_group [{ kind: KIND_CPU count: 1 }]
parameters { key: "model_name" value: { string_value: "toy" } }
parameters { key: "model_revision" value: { string_value: "0123456789abcdef" } }
parameters { key: "dimension" value: { string_value: "4" } }
parameters { key: "max_seq_length" value: { string_value: "128" } }
parameters { key: "normalizes" value: { string_value: "false" } }
parameters { key: "precision" value: { string_value: "float32" } }
parameters { key: "model_identity" value: { string_value: "000102030405060708090a0b0c0d0e0f" } }
"""

MODEL = """
import os, sys
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy().reshape(-1)
        vectors = np.stack([np.frombuffer((text + bytes(4))[:4], np.uint8) for text in texts]).astype(np.float32)
        outputs = {
            "embedding": vectors.T.copy().T,  # columns first in memory: must be put in order
            "normalized_embedding": vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12),
            "token_count": np.array([[len(text)] for text in texts], np.int32),
            "truncated": np.broadcast_to(np.array([[True]]), (len(texts), 1)),  # read-only
            "input_ids": np.arange(3 * len(texts)).reshape(-1, 3),
            "threads": np.full((len(texts), 1), int(os.environ["OMP_NUM_THREADS"]), np.int32),
            "tokenizer_span": np.zeros((len(texts), 2), np.int64),
            "pooling_span": np.zeros((len(texts), 2), np.int64),
            "model_identity": np.tile(np.arange(16, dtype=np.uint8), (len(texts), 1)),
        }
        asked = request.requested_output_names()
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name]) for name in asked])
"""

MAIN = "import sys; from runtime.__main__ import main; sys.exit(main(export_command=sys.argv[1:]))"


class Run:
    """One `python -m runtime`, on free ports, whose output is read as it comes."""

    def __init__(self, repository: Path, export_command: list[str] | None = None, **settings: str) -> None:
        self.ports = free_settings()
        environment = {**os.environ, **self.ports, "MODEL_REPOSITORY": str(repository), **settings}
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *(export_command or ["true"])],
            cwd=PROJECT_ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines))
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, lines: list[str]) -> None:
        for line in stream:
            lines.append(line.decode("utf-8").rstrip("\n"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['PROXY_PORT']}"

    def ready(self) -> None:
        wait_until(lambda: bool(self.out) or self.process.poll() is not None)
        assert self.process.poll() is None, "\n".join(self.err)

    def health(self) -> int:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def triton(self) -> int:
        return next(pid for pid, command in descendants(self.process.pid).items() if "/tritonserver " in command)

    def prefix(self) -> str:
        """What the names of this run's shared memory begin with; other runs may go on at the same time."""
        name = "shm-region-prefix-name="
        return next(each.partition(name)[2] for each in arguments(self.triton()) if name in each)

    def wait(self, seconds: float = 60.0) -> int:
        """The exit code, once the process and its output have ended."""
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(seconds)
        return code

    def end(self) -> None:
        """Whatever happened: ends it all, from the leaves of nothing up."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                for pid in [*descendants(self.process.pid), self.process.pid]:
                    os.kill(pid, signal.SIGKILL)
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def regions(prefix: str) -> set[str]:
    return {path.name for path in Path("/dev/shm").glob(f"{prefix}*")}


def write_toy_repository(folder: Path, model: str = MODEL) -> Path:
    """A model repository with one model, `sentence_embedding`, made of the Python code `model`."""
    (folder / "sentence_embedding" / "1").mkdir(parents=True)
    (folder / "sentence_embedding" / "config.pbtxt").write_text(CONFIG)
    (folder / "sentence_embedding" / "1" / "model.py").write_text(model)
    seal(folder)
    return folder
