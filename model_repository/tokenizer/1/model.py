"""Triton's adapter to the tokenizer: `text` BYTES `[N, 1]` to padded token ids."""

import json
import os
import time
from pathlib import Path
from typing import Any

# One thread keeps up with the encoder; more would take its cores.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import triton_python_backend_utils as pb_utils
from cutting import Cutter, NotCut
from tokenization import (
    InvalidOption,
    InvalidText,
    Options,
    decode_texts,
    decode_token_ids,
    pad_encodings,
    pad_token_ids,
    parse_options,
)
from tokenizers import Tokenizer

Decoded = tuple[list[Any], Options]  # texts, or the ids of each, and what is asked of them


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.padding_id = self.tokenizer.padding["pad_id"]
        self.tokenizer.no_padding()  # the step pads to its own lengths
        self.prompt = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))["default_prompt"]
        self.cutter = Cutter(self.tokenizer, len(self.prompt))
        self.identity = np.frombuffer(bytes.fromhex((folder / "model_identity").read_text()), np.uint8)

    def execute(self, requests: list[Any]) -> list[Any]:
        begun = time.monotonic_ns()
        decoded = [self.decode(request) for request in requests]
        return [self.respond(*each, begun) for each in zip(requests, decoded, strict=True)]

    def decode(self, request: Any) -> "Decoded | ValueError":
        texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy().reshape(-1)
        try:
            options = parse_options(request.parameters())
            if options.text_format == "token_ids":
                return decode_token_ids(texts, self.tokenizer), options
            return decode_texts(texts), options
        except (InvalidText, InvalidOption) as error:
            return error

    def respond(self, request: Any, decoded: "Decoded | ValueError", begun: int) -> Any:
        if isinstance(decoded, ValueError):
            return refuse(decoded)
        texts, options = decoded
        if options.text_format == "token_ids":
            tokenized = pad_token_ids(texts, self.tokenizer, self.padding_id, options)
        else:
            try:
                prompted = [self.prompt + text for text in texts]
                encodings, counts = zip(*self.cutter.encode(prompted, options.truncation_side), strict=True)
            except NotCut as error:
                return refuse(error)
            tokenized = pad_encodings(encodings, self.tokenizer, self.padding_id, options, counts)
        outputs = tokenized._asdict()
        asked = request.requested_output_names()
        if "model_identity" in asked:
            outputs["model_identity"] = np.tile(self.identity, (len(texts), 1))
        if "tokenizer_span" in asked:
            # Begin and end of this step, of a clock that is the same for all processes of a machine.
            span = np.array([begun, time.monotonic_ns()], np.int64)
            outputs["tokenizer_span"] = np.tile(span, (len(texts), 1))
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in outputs.items()])


def refuse(reason: ValueError) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(reason), pb_utils.TritonError.INVALID_ARG))
