"""Triton's adapter to the tokenizer: `text` BYTES `[N, 1]` to padded token ids."""

import os
from pathlib import Path
from typing import Any

# One thread keeps up with the encoder; more would take its cores.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import triton_python_backend_utils as pb_utils
from tokenization import InvalidText, decode_texts, pad_encodings
from tokenizers import Tokenizer


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.padding_id = self.tokenizer.padding["pad_id"]
        self.tokenizer.no_padding()  # the step pads to its own lengths

    def execute(self, requests: list[Any]) -> list[Any]:
        decoded: list[list[str] | InvalidText] = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy().reshape(-1)
            try:
                decoded.append(decode_texts(texts))
            except InvalidText as error:
                decoded.append(error)
        # All requests are tokenized in one call, and each is padded to its own bucket.
        encodings = iter(
            self.tokenizer.encode_batch([text for texts in decoded if isinstance(texts, list) for text in texts])
        )
        return [self.respond(texts, encodings) for texts in decoded]

    def respond(self, texts: "list[str] | InvalidText", encodings: Any) -> Any:
        if isinstance(texts, InvalidText):
            error = pb_utils.TritonError(str(texts), pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        tokenized = pad_encodings([next(encodings) for _ in texts], self.tokenizer, self.padding_id)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, values) for name, values in tokenized._asdict().items()]
        )
