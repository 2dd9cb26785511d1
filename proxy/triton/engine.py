"""The embedder that asks Triton, and makes sure whose vectors it hands out."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxy.deadlines import within
from proxy.embedding.base import Embeddings, Text, Tokens, TruncationSide
from proxy.embedding.canary import DEFAULT_TEXT
from proxy.embedding.model import ServedModel
from proxy.errors import EngineFailed, EngineUnavailable, UnexpectedModel
from proxy.triton.client import Inference, Tokenization, TritonClient
from proxy.triton.model import parse_model_config
from proxy.triton.step_spans import of_call

# Inferences tried for one request while Triton is restarted with one model after another.
_MAX_ATTEMPTS = 3
# Readings of the configuration for one answer: behind a balancer over two Tritons, each may be of the wrong one.
_MAX_READINGS = 12

_CHANGED = "The engine changed its model while it was asked."


class TritonEmbedder:
    """Embeds by an ensemble of Triton, which may come, go and change its model meanwhile, or be one of several.

    Each answer carries the identity of the model that computed it. The models are known by theirs, read from the
    ensemble's configuration: an answer with an identity that is not known yet has it read, until it is that one's.
    """

    def __init__(self, client: TritonClient, expected_model_name: str = "") -> None:
        """`expected_model_name`: the only model to embed with; empty for any."""
        self._client = client
        self._expected_model_name = expected_model_name
        self._models: dict[str, ServedModel] = {}  # by identity
        self._latest: ServedModel | None = None  # of the newest answer or reading
        self._reading = asyncio.Lock()

    async def open(self) -> None:
        """Gets ready; does not wait for Triton to be there."""
        await self._client.open()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Embeddings:
        """One float32 vector for each text, by one request to Triton. Raises `EmbeddingError`."""
        return await within(deadline, self._embed(texts, normalize, truncation))

    async def tokenize(
        self,
        texts: Sequence[Text],
        deadline: float,
        truncation: TruncationSide = "right",
        special_tokens: bool = False,
    ) -> Tokens:
        """The token ids of each text, by one request to the ensemble's tokenizer. Raises `EmbeddingError`."""
        return await within(deadline, self._tokenize(texts, truncation, special_tokens))

    async def model(self, deadline: float) -> ServedModel:
        """The model as Triton says now, whether it is the expected one or not. Raises `EmbeddingError`."""
        return await within(deadline, self._read_model())

    async def check(self, deadline: float) -> ServedModel:
        """Embeds the model's canary through the whole ensemble, and compares the vector. Raises `EmbeddingError`."""
        return await within(deadline, self._check())

    async def _embed(self, texts: Sequence[Text], normalize: bool, truncation: TruncationSide) -> Embeddings:
        output = "normalized_embedding" if normalize else "embedding"
        if self._expected_model_name:
            self._accept(await self._latest_or_read())  # refused before anything is computed
        for _ in range(_MAX_ATTEMPTS):
            begun = time.perf_counter()  # the event loop's clock has milliseconds
            inferred = await self._client.infer(texts, output, truncation)
            seconds = time.perf_counter() - begun
            model = self._models.get(inferred.identity) or await self._find(inferred.identity)
            if model is not None:  # else it is gone before it was known: the one in its place answers next
                self._latest = model
                self._accept(model)
                return _checked(inferred, len(texts), model, seconds)
        raise EngineUnavailable(_CHANGED)

    async def _tokenize(self, texts: Sequence[Text], truncation: TruncationSide, special_tokens: bool) -> Tokens:
        asked = await self._latest_or_read()
        for attempt in range(_MAX_READINGS):
            self._accept(asked)
            try:
                tokenized = await self._client.tokenize(texts, truncation, special_tokens, asked.tokenizer_version)
            except EngineUnavailable:  # its version may be gone, or another Triton was asked
                if attempt >= _MAX_ATTEMPTS:
                    raise
                asked = await self._read_model()
                continue
            model = self._models.get(tokenized.identity)
            if model is not None:
                self._accept(model)
                return _checked_tokens(tokenized, len(texts), model)
            asked = await self._read_model()
        raise EngineUnavailable(_CHANGED)

    async def _check(self) -> ServedModel:
        canary = (self._latest or await self._read_model()).canary
        for _ in range(_MAX_ATTEMPTS):
            text = canary.text if canary else DEFAULT_TEXT
            answer = await self._embed([text], normalize=True, truncation="right")
            canary = answer.model.canary
            if canary is None:
                return answer.model
            if canary.text == text:
                canary.compare(answer.vectors[0])
                return answer.model
        raise EngineUnavailable(_CHANGED)

    async def _find(self, identity: str) -> ServedModel | None:
        """The model with this identity, from Triton's configuration; None where that is another one's each time.

        Behind a balancer another Triton than the one that answered may be asked. At most one request reads, and the
        others wait for it: mostly it answers them all.
        """
        async with self._reading:
            for _ in range(_MAX_READINGS):
                if identity in self._models:
                    break
                await self._read_model()
            return self._models.get(identity)

    async def _latest_or_read(self) -> ServedModel:
        """The latest model; where that is none or not the expected one, Triton may have another by now."""
        if self._latest is not None and self._expects(self._latest):
            return self._latest
        return await self._read_model()

    async def _read_model(self) -> ServedModel:
        """The model of one Triton, which is remembered."""
        model = parse_model_config(await self._client.config())
        self._models[model.identity] = self._latest = model
        return model

    def _expects(self, model: ServedModel) -> bool:
        return self._expected_model_name in ("", model.name)

    def _accept(self, model: ServedModel) -> None:
        if not self._expects(model):
            raise UnexpectedModel(f"The engine serves {model.name!r}, and {self._expected_model_name!r} is expected.")


def _checked(inference: Inference, count: int, model: ServedModel, seconds: float) -> Embeddings:
    """An answer must be what the configuration says, or something is mixed up that must not reach a database."""
    vectors, token_counts = inference.vectors, inference.token_counts
    if vectors.dtype != np.float32:
        raise EngineFailed(f"The engine answered with {vectors.dtype} where float32 is expected.")
    if vectors.shape != (count, model.dimension):
        expected = [count, model.dimension]
        raise EngineFailed(f"The engine answered with a shape of {list(vectors.shape)} where {expected} is expected.")
    if not np.isfinite(vectors).all():
        raise EngineFailed("The engine answered with a vector that has components which are not numbers.")
    stages = of_call(seconds, inference.tokenizer_span, inference.pooling_span)
    return Embeddings(vectors, _checked_counts(token_counts, count), model, stages)


def _checked_tokens(tokenized: Tokenization, count: int, model: ServedModel) -> Tokens:
    ids, mask = tokenized.input_ids, tokenized.attention_mask
    if not (ids.dtype == mask.dtype == np.int64 and ids.ndim == 2 and ids.shape == mask.shape and len(ids) == count):
        raise EngineFailed("The engine's token ids are not one list of whole numbers for each text.")
    rows = [row[seen == 1] for row, seen in zip(ids, mask, strict=True)]
    return Tokens(rows, _checked_counts(tokenized.token_counts, count), model)


def _checked_counts(token_counts: NDArray[Any], count: int) -> NDArray[np.int32]:
    if token_counts.dtype != np.int32 or token_counts.shape != (count, 1):
        raise EngineFailed("The engine's token counts are not one whole number for each text.")
    return token_counts.reshape(-1)
