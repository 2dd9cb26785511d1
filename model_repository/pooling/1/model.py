"""Triton's adapter to mean pooling: `token_embeddings` `[N, S, D]` to one vector a text."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from mean_pooling import mean_pool, normalize


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        # Beside this file, not in the configuration, which all versions that are loaded share.
        folder = Path(args["model_repository"]) / args["model_version"]
        self.normalizes = json.loads((folder / "pooling.json").read_text())["normalizes"]  # it has a Normalize module
        self.identity = np.frombuffer(bytes.fromhex((folder / "model_identity").read_text()), np.uint8)

    def execute(self, requests: list[Any]) -> list[Any]:
        begun = time.monotonic_ns()
        return [self.respond(request, begun) for request in requests]

    def respond(self, request: Any, begun: int) -> Any:
        token_embeddings = pb_utils.get_input_tensor_by_name(request, "token_embeddings").as_numpy()
        attention_mask = pb_utils.get_input_tensor_by_name(request, "attention_mask").as_numpy()
        if attention_mask.shape != token_embeddings.shape[:2]:
            message = f"attention_mask has shape {attention_mask.shape}, not {token_embeddings.shape[:2]} as the tokens"
            error = pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        mean = mean_pool(token_embeddings, attention_mask)
        unit = normalize(mean)
        outputs = {"embedding": unit if self.normalizes else mean, "normalized_embedding": unit}
        outputs["model_identity"] = np.tile(self.identity, (len(mean), 1))
        # Begin and end of this step, of a clock that is the same for all processes of a machine.
        outputs["pooling_span"] = np.tile(np.array([begun, time.monotonic_ns()], np.int64), (len(mean), 1))
        # Triton takes only the outputs that were asked for. A reload may load this version under a later export's
        # configuration, whose warm-up asks for more than there is here: Triton does not survive a warm-up that fails.
        asked = [name for name in request.requested_output_names() if name in outputs]
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name]) for name in asked])
