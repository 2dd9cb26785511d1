"""The embedder that asks Triton, and makes sure whose vectors it hands out."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxy.deadlines import until
from proxy.embedding.base import Embeddings, Text, Tokens, TruncationSide
from proxy.embedding.canary import DEFAULT_TEXT
from proxy.embedding.model import ServedModel
from proxy.errors import EngineFailed, EngineUnavailable, UnexpectedModel, UnknownOutput
from proxy.triton.client import Inference, Reply, Tokenization, TritonClient
from proxy.triton.model import parse_model_config
from proxy.triton.step_spans import of_call

# Inferences tried for one request while Triton is restarted with one model after another.
_MAX_ATTEMPTS = 3

_CHANGED = "The engine changed its model while it was asked."


class TritonEmbedder:
    """Embeds by the ensemble of one Triton, which may come, go and change its model meanwhile.

    Vectors are never labelled with a model that did not compute them. A version of the ensemble keeps its model for as
    long as its Triton runs, so a configuration that was read holds for every answer of the same process and version,
    and is read again for any other.
    """

    def __init__(self, client: TritonClient, expected_model_name: str = "") -> None:
        """`expected_model_name`: the only model to embed with; empty for any."""
        self._client = client
        self._expected_model_name = expected_model_name
        self._known: Reply[ServedModel] | None = None  # what was read last
        self._before: Reply[ServedModel] | None = None  # and before: two versions answer while one replaces the other
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
        output = "normalized_embedding" if normalize else "embedding"
        async with until(deadline):
            before = await self._known_or_read()
            if not self._expects(before.value):  # it may have been replaced since
                before = await self._read_model()
            just_read = False
            for _ in range(_MAX_ATTEMPTS):
                self._accept(before.value)
                begun = time.perf_counter()  # the event loop's clock has milliseconds
                try:
                    inferred = await self._client.infer(texts, output, truncation, before.value.tells_spans)
                except UnknownOutput:  # an older export came in its place
                    before, just_read = await self._read_model(), True
                    continue
                seconds = time.perf_counter() - begun
                try:
                    after = await self._model_of(inferred)
                except EngineUnavailable:
                    continue  # the version that answered is unloaded by now: the one in its place answers next
                # The second for connections that all end with their first answer: read before and after, with nothing
                # but the inference between, and the same.
                certain = after.span.same_process(inferred.span) or (just_read and after.value == before.value)
                if certain:
                    self._accept(after.value)
                    return _check(inferred.value, len(texts), after.value, seconds)
                before, just_read = after, True
        raise EngineUnavailable(_CHANGED)

    async def tokenize(
        self,
        texts: Sequence[Text],
        deadline: float,
        truncation: TruncationSide = "right",
        special_tokens: bool = False,
    ) -> Tokens:
        """The token ids of each text, by one request to the ensemble's tokenizer. Raises `EmbeddingError`.

        The tokenizer's answer does not tell the version of the ensemble: the model is asked for before and after.
        """
        before = await self.model(deadline)
        for _ in range(_MAX_ATTEMPTS):
            self._accept(before)
            async with until(deadline):
                tokenized = await self._client.tokenize(texts, truncation, special_tokens)
            after = await self.model(deadline)
            if after == before:
                return _check_tokens(tokenized.value, len(texts), after)
            before = after
        raise EngineUnavailable(_CHANGED)

    async def model(self, deadline: float) -> ServedModel:
        """The model as Triton says now, whether it is the expected one or not. Raises `EmbeddingError`."""
        async with until(deadline):
            return parse_model_config((await self._client.config(await self._client.version())).value)

    async def check(self, deadline: float) -> ServedModel:
        """Embeds the model's canary through the whole ensemble, and compares the vector. Raises `EmbeddingError`."""
        async with until(deadline):
            canary = (await self._known_or_read()).value.canary
        text = canary.text if canary else DEFAULT_TEXT
        answer = await self.embed([text], normalize=True, deadline=deadline)
        canary = answer.model.canary
        if canary is not None:
            if canary.text != text:
                raise EngineUnavailable(_CHANGED)
            canary.compare(answer.vectors[0])
        return answer.model

    async def _known_or_read(self) -> Reply[ServedModel]:
        """What was read last, of whichever process and version."""
        if self._known is None:
            async with self._reading:
                return self._known or await self._read_model()
        return self._known

    async def _model_of(self, inferred: Reply[Inference]) -> Reply[ServedModel]:
        """The known model where it is that of the answer's process and version, else what Triton says now.

        At most one request reads, and the others wait for it: mostly it answers them all.
        """
        known = self._known_of(inferred)
        if known is None:
            async with self._reading:
                known = self._known_of(inferred) or await self._read_model(inferred.version)
        return known

    def _known_of(self, inferred: Reply[Inference]) -> Reply[ServedModel] | None:
        for known in (self._known, self._before):
            if known and known.version == inferred.version and known.span.same_process(inferred.span):
                return known
        return None

    async def _read_model(self, version: str = "") -> Reply[ServedModel]:
        config = await self._client.config(version or await self._client.version())
        self._known, self._before = Reply(parse_model_config(config.value), config.span, config.version), self._known
        return self._known

    def _expects(self, model: ServedModel) -> bool:
        return self._expected_model_name in ("", model.name)

    def _accept(self, model: ServedModel) -> None:
        if not self._expects(model):
            raise UnexpectedModel(f"The engine serves {model.name!r}, and {self._expected_model_name!r} is expected.")


def _check(inference: Inference, count: int, model: ServedModel, seconds: float) -> Embeddings:
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
    return Embeddings(vectors, _check_counts(token_counts, count), model, stages)


def _check_tokens(tokenized: Tokenization, count: int, model: ServedModel) -> Tokens:
    ids, mask = tokenized.input_ids, tokenized.attention_mask
    if not (ids.dtype == mask.dtype == np.int64 and ids.ndim == 2 and ids.shape == mask.shape and len(ids) == count):
        raise EngineFailed("The engine's token ids are not one list of whole numbers for each text.")
    rows = [row[seen == 1] for row, seen in zip(ids, mask, strict=True)]
    return Tokens(rows, _check_counts(tokenized.token_counts, count), model)


def _check_counts(token_counts: NDArray[Any], count: int) -> NDArray[np.int32]:
    if token_counts.dtype != np.int32 or token_counts.shape != (count, 1):
        raise EngineFailed("The engine's token counts are not one whole number for each text.")
    return token_counts.reshape(-1)
