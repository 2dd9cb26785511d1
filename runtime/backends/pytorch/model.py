"""The backend `pytorch` where Triton has no C++ LibTorch backend: runs TorchScript through the Python backend.

It reads the same configuration as the C++ backend does: inputs by the names of `forward`'s arguments, outputs in the
order of the configuration, threads from `INTRA_OP_THREAD_COUNT`.
"""

import ctypes
import json
import os
import struct
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from encoder_kernels import choose_kernels

Arrays = tuple["np.ndarray[Any, Any]", ...]

# Fewer rows than this for each thread are not worth dealing out.
_ROWS_FOR_EACH_WORKER = 2

# Parameters from this size on are tables, of which a call reads a few rows.
_TABLE_BYTES = 32 << 20


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: entry["string_value"] for name, entry in config["parameters"].items()}
        # libgomp may have bound this process to one core (runtime/triton_server.py), but not its parent, Triton.
        cores = os.sched_getaffinity(os.getppid())
        # The launcher counts the cores that the service may use; without it, those of Triton.
        self.threads = int(parameters.get("INTRA_OP_THREAD_COUNT") or os.environ.get("ENCODER_THREADS") or len(cores))
        self.inputs = [entry["name"] for entry in config["input"]]
        self.outputs = [entry["name"] for entry in config["output"]]
        file_name = config["default_model_filename"] or "model.pt"
        path = Path(pb_utils.get_model_dir()) / file_name
        self.module = torch.jit.load(str(path), map_location="cpu")
        _map_tables(self.module, path)
        torch.set_num_threads(self.threads)
        if told := choose_kernels(self.module, path):
            print(told, file=sys.stderr, flush=True)
        # After the line above, since torch hands the latest number to MKL for every thread.
        self.workers = ThreadPoolExecutor(self.threads, initializer=_work_alone, initargs=(cores,))
        # Loading leaves as much again in the allocator's free lists as it keeps.
        ctypes.CDLL(None).malloc_trim(0)

    def execute(self, requests: list[Any]) -> list[Any]:
        # The dynamic batcher joins requests of equal shapes alone: they become one batch.
        batch = [
            tuple(pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs)
            for request in requests
        ]
        joined = tuple(np.concatenate(arrays) if len(arrays) > 1 else arrays[0] for arrays in zip(*batch, strict=True))
        try:
            results = self.forward(joined)
        except (RuntimeError, IndexError) as error:
            failure = pb_utils.TritonError(str(error).strip().splitlines()[-1], pb_utils.TritonError.INVALID_ARG)
            return [pb_utils.InferenceResponse(error=failure) for _ in batch]
        ends = np.cumsum([arrays[0].shape[0] for arrays in batch])
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, result[end - arrays[0].shape[0] : end])
                    for name, result in zip(self.outputs, results, strict=True)
                ]
            )
            for arrays, end in zip(batch, ends, strict=True)
        ]

    def forward(self, inputs: Arrays) -> Arrays:
        """Few rows take all threads together; many are dealt out: threads with nothing in common wait for nothing."""
        if self.threads == 1 or len(inputs[0]) < _ROWS_FOR_EACH_WORKER * self.threads:
            return self.run(inputs)
        order = np.argsort(np.count_nonzero(inputs[-1], axis=1))  # by the tokens that the mask, the last input, leaves
        parts = [order[first :: self.threads] for first in range(self.threads)]
        running = [self.workers.submit(self.run, tuple(array[rows] for array in inputs)) for rows in parts]
        return tuple(_in_order(parts, results) for results in zip(*(part.result() for part in running), strict=True))

    def run(self, inputs: Arrays) -> Arrays:
        """One call of the model."""
        with torch.inference_mode():
            result = self.module(*(torch.from_numpy(array) for array in inputs))
        tensors = (result,) if isinstance(result, torch.Tensor) else tuple(result)
        return tuple(tensor.contiguous().numpy() for tensor in tensors)


def _map_tables(module: Any, path: Path) -> None:
    """Puts maps of the file in the place of large parameters: of a table's rows, memory then holds those in use."""
    with zipfile.ZipFile(path) as archive:
        records = [record for record in archive.infolist() if record.file_size >= _TABLE_BYTES]
    for parameter in module.parameters():
        size = parameter.numel() * parameter.element_size()
        found = [
            record for record in records if record.file_size == size and record.compress_type == zipfile.ZIP_STORED
        ]
        if len(found) == 1:
            array = np.memmap(path, np.uint8, mode="c", offset=_data_offset(path, found[0]), shape=(size,))
            parameter.data = torch.from_numpy(array).view(parameter.dtype).view(parameter.shape)


def _data_offset(path: Path, record: zipfile.ZipInfo) -> int:
    """Where a record's bytes start: after its local header, whose name and extra field differ from the directory's."""
    with path.open("rb") as file:
        file.seek(record.header_offset)
        header = file.read(30)
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    return record.header_offset + 30 + int(name_length) + int(extra_length)


def _work_alone(cores: set[int]) -> None:
    """Makes a thread compute by itself, on whichever core is free."""
    torch.set_num_threads(1)
    os.sched_setaffinity(0, cores)


def _in_order(parts: list["np.ndarray[Any, Any]"], results: Arrays) -> "np.ndarray[Any, Any]":
    """The rows of `results`, where those of the n-th are the rows `parts[n]` of the whole."""
    whole = np.empty((sum(map(len, parts)), *results[0].shape[1:]), results[0].dtype)
    for rows, result in zip(parts, results, strict=True):
        whole[rows] = result
    return whole
