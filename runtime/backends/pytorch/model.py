"""The backend `pytorch` where Triton has no C++ LibTorch backend: runs TorchScript through the Python backend.

It reads the same configuration as the C++ backend does: inputs by the names of `forward`'s arguments, outputs in the
order of the configuration, threads from `INTRA_OP_THREAD_COUNT`.
"""

import ctypes
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils

Arrays = tuple["np.ndarray[Any, Any]", ...]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: entry["string_value"] for name, entry in config["parameters"].items()}
        # The launcher counts the cores that the service may use; without it, those of this process.
        cores = os.environ.get("ENCODER_THREADS") or len(os.sched_getaffinity(0))
        threads = int(parameters.get("INTRA_OP_THREAD_COUNT", cores))
        self.inputs = [entry["name"] for entry in config["input"]]
        self.outputs = [entry["name"] for entry in config["output"]]
        file_name = config["default_model_filename"] or "model.pt"
        self.module = torch.jit.load(str(Path(pb_utils.get_model_dir()) / file_name), map_location="cpu")
        torch.set_num_threads(threads)
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
        with torch.inference_mode():
            result = self.module(*(torch.from_numpy(array) for array in inputs))
        tensors = (result,) if isinstance(result, torch.Tensor) else tuple(result)
        return tuple(tensor.contiguous().numpy() for tensor in tensors)
