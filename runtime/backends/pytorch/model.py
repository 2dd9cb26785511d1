"""The backend `pytorch` where Triton has no C++ LibTorch backend: runs TorchScript through the Python backend.

It reads the same configuration as the C++ backend does: inputs by the names of `forward`'s arguments, outputs in the
order of the configuration, threads from `INTRA_OP_THREAD_COUNT` and `INTER_OP_THREAD_COUNT`.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: entry["string_value"] for name, entry in config["parameters"].items()}
        cores = len(os.sched_getaffinity(0))
        torch.set_num_threads(int(parameters.get("INTRA_OP_THREAD_COUNT", cores)))
        torch.set_num_interop_threads(int(parameters.get("INTER_OP_THREAD_COUNT", 1)))
        self.inputs = [entry["name"] for entry in config["input"]]
        self.outputs = [entry["name"] for entry in config["output"]]
        file_name = config["default_model_filename"] or "model.pt"
        self.module = torch.jit.load(str(Path(pb_utils.get_model_dir()) / file_name), map_location="cpu")

    def execute(self, requests: list[Any]) -> list[Any]:
        # The dynamic batcher joins requests of equal shapes; these become one forward. Requests that reach this
        # backend in one call with other shapes (it may be configured so) get a forward of their own.
        values = [
            tuple(pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs)
            for request in requests
        ]
        groups: dict[tuple[Any, ...], list[int]] = {}
        for place, arrays in enumerate(values):
            groups.setdefault(tuple(array.shape[1:] for array in arrays), []).append(place)
        responses: list[Any] = [None] * len(requests)
        for places in groups.values():
            for place, response in zip(places, self.forward([values[place] for place in places]), strict=True):
                responses[place] = response
        return responses

    def forward(self, batch: list[tuple[np.ndarray[Any, Any], ...]]) -> list[Any]:
        """One forward over requests of equal shapes; one response for each."""
        joined = [np.concatenate(arrays) if len(arrays) > 1 else arrays[0] for arrays in zip(*batch, strict=True)]
        try:
            with torch.inference_mode():
                result = self.module(*(torch.from_numpy(array) for array in joined))
        except RuntimeError as error:
            failure = pb_utils.TritonError(str(error).strip().splitlines()[-1], pb_utils.TritonError.INVALID_ARG)
            return [pb_utils.InferenceResponse(error=failure) for _ in batch]
        tensors = (result,) if isinstance(result, torch.Tensor) else tuple(result)
        sizes = [arrays[0].shape[0] for arrays in batch]
        parts = [torch.split(tensor.contiguous(), sizes) for tensor in tensors]
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, part[place].numpy()) for name, part in zip(self.outputs, parts, strict=True)]
            )
            for place in range(len(batch))
        ]
