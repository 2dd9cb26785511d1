"""An embedder without an engine: vectors from a hash of the text, and any failure that a test asks for."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from proxy.embedding.base import Embeddings, Text, Tokens, TruncationSide
from proxy.embedding.model import ServedModel

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


def encode(texts: Sequence[Text], normalize: bool, truncation: TruncationSide = "right") -> NDArray[np.float32]:
    """Float32 `[N, D]`: the same for the same text cut on the same side, and hardly ever for another."""
    cut = "" if truncation == "right" else f"{truncation} "
    digests = [hashlib.sha256(f"{cut}{text}".encode()).digest() for text in texts]
    vectors = np.stack([np.frombuffer(digest, np.int16) for digest in digests]) / 4096
    if normalize:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def words(text: Text) -> int:
    """The fakes' tokens: one for each word."""
    return len(text.split()) if isinstance(text, str) else len(text)


def token_counts(texts: Sequence[Text]) -> NDArray[np.int32]:
    """A token for each word, and the two special ones."""
    return np.array([words(text) + 2 for text in texts], dtype=np.int32)


def embed(
    texts: Sequence[Text], normalize: bool, model: ServedModel = MODEL, truncation: TruncationSide = "right"
) -> Embeddings:
    """What the fakes answer."""
    return Embeddings(encode(texts, normalize, truncation), token_counts(texts), model)


def tokenize(texts: Sequence[Text], special_tokens: bool, model: ServedModel = MODEL) -> Tokens:
    """What the fakes answer: 100, 101, ... for the words that the model sees, 0 and 2 around them."""
    around = ([0], [2]) if special_tokens else ([], [])
    seen = [range(100, 100 + min(words(text), model.max_seq_length - 2)) for text in texts]
    ids = [np.array([*around[0], *row, *around[1]], dtype=np.int64) for row in seen]
    return Tokens(ids, token_counts(texts), model)


class FakeEmbedder:
    """Answers from `encode`; raises `failure` where that is set."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.is_open = False
        self.calls: list[list[Text]] = []

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def embed(
        self,
        texts: Sequence[Text],
        normalize: bool,
        deadline: float,  # noqa: ARG002
        truncation: TruncationSide = "right",
    ) -> Embeddings:
        self.calls.append(list(texts))
        return embed(texts, normalize, self._answer(), truncation)

    async def tokenize(
        self,
        texts: Sequence[Text],
        deadline: float,  # noqa: ARG002
        truncation: TruncationSide = "right",  # noqa: ARG002
        special_tokens: bool = False,
    ) -> Tokens:
        return tokenize(texts, special_tokens, self._answer())

    async def model(self, deadline: float) -> ServedModel:  # noqa: ARG002
        return self._answer()

    async def check(self, deadline: float) -> ServedModel:  # noqa: ARG002
        return self._answer()

    def _answer(self) -> ServedModel:
        assert self.is_open
        if self.failure is not None:
            raise self.failure
        return MODEL
