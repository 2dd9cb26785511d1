"""An embedder without an engine: vectors from a hash of the text, and any failure that a test asks for."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from proxy.embedder import Embeddings
from proxy.model import ServedModel

DIMENSION = 16

MODEL = ServedModel(
    name="fake-MiniLM",
    revision="0123456789abcdef0123456789abcdef01234567",
    dimension=DIMENSION,
    max_seq_length=128,
    normalizes=False,
    precision="float32",
    max_batch_size=128,
)


def encode(texts: Sequence[str], normalize: bool) -> NDArray[np.float32]:
    """Float32 `[N, D]`: the same for the same text, and hardly ever for another."""
    digests = [hashlib.sha256(text.encode("utf-8")).digest() for text in texts]
    vectors = np.stack([np.frombuffer(digest, np.int16) for digest in digests]) / 4096
    if normalize:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def embed(texts: Sequence[str], normalize: bool, model: ServedModel = MODEL) -> Embeddings:
    """What the fakes answer: a token for each word, and the two special ones."""
    counts = np.array([len(text.split()) + 2 for text in texts], dtype=np.int32)
    return Embeddings(encode(texts, normalize), counts, model)


class FakeEmbedder:
    """Answers from `encode`; raises `failure` where that is set."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def embed(self, texts: Sequence[str], normalize: bool, deadline: float) -> Embeddings:  # noqa: ARG002
        return embed(texts, normalize, self._answer())

    async def model(self, deadline: float) -> ServedModel:  # noqa: ARG002
        return self._answer()

    async def check(self, deadline: float) -> ServedModel:  # noqa: ARG002
        return self._answer()

    def _answer(self) -> ServedModel:
        assert self.is_open
        if self.failure is not None:
            raise self.failure
        return MODEL
