"""The steps of an exported repository in this process, with no server: its own tokenization, model.pt and pooling."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench.modules import load_module, version_folder

CALL_TEXTS = 64  # a longer list is embedded in pieces, since the token embeddings of all of it would fill the memory


class ExportedSteps:
    """What the ensemble does, step by step."""

    def __init__(self, repository: Path) -> None:
        folder = version_folder(repository, "tokenizer")
        self._tokenization = load_module(folder / "tokenization.py")
        self._pooling = load_module(version_folder(repository, "pooling") / "mean_pooling.py")
        tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._padding_id: int = tokenizer.padding["pad_id"]
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._prompt: str = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))["default_prompt"]
        self.encoder: Any = torch.jit.load(str(version_folder(repository, "encoder") / "model.pt"), map_location="cpu")

    def tokenize(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """`input_ids` and `attention_mask`, INT64 `[N, S]`, padded as the service pads one request."""
        encodings = self._tokenizer.encode_batch([self._prompt + text for text in texts])
        padded = self._tokenization.pad_encodings(encodings, self._tokenizer, self._padding_id)
        return torch.from_numpy(padded.input_ids), torch.from_numpy(padded.attention_mask)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`normalized_embedding` of each text, `[N, D]`."""
        parts = []
        for start in range(0, len(texts), CALL_TEXTS):
            ids, mask = self.tokenize(texts[start : start + CALL_TEXTS])
            with torch.inference_mode():
                tokens = self.encoder(ids, mask).numpy()
            parts.append(self._pooling.normalize(self._pooling.mean_pool(tokens, mask.numpy())))
        vectors: NDArray[np.float32] = np.concatenate(parts)
        return vectors
