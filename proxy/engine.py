"""The embedder that asks Triton, and makes sure whose vectors it hands out."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxy.embedder import Embeddings
from proxy.errors import DeadlineExceeded, EngineFailed, EngineUnavailable, UnexpectedModel
from proxy.model import ServedModel, parse_model_config
from proxy.triton_client import Reply, TritonClient

if sys.version_info >= (3, 11):
    from asyncio import timeout_at
else:
    from async_timeout import timeout_at

# Inferences tried for one request while Triton is restarted with one model after another.
_MAX_ATTEMPTS = 3

# A query as users send it: short, and not of one script alone.
_CANARY = "health 확인"


class TritonEmbedder:
    """Embeds by the ensemble of one Triton, which may come, go and change its model meanwhile.

    Vectors are never labelled with a model that did not compute them. Triton keeps its model for as long as it runs,
    and its connections end with it; so a configuration that was read holds for what came over connections picked at
    the same epoch, and over later ones only after it was read again.
    """

    def __init__(self, client: TritonClient, expected_model_name: str = "") -> None:
        """`expected_model_name`: the only model to embed with; empty for any."""
        self._client = client
        self._expected_model_name = expected_model_name
        self._known: Reply[ServedModel] | None = None
        self._reading = asyncio.Lock()

    async def open(self) -> None:
        """Gets ready; does not wait for Triton to be there."""
        await self._client.open()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def embed(self, texts: Sequence[str], normalize: bool, deadline: float) -> Embeddings:
        """One float32 vector for each text, by one request to Triton. Raises `EmbeddingError`."""
        output = "normalized_embedding" if normalize else "embedding"
        async with _until(deadline):
            before = await self._model_since(0)
            if not self._expects(before.value):  # it may have been replaced since
                before = await self._read_model()
            for _ in range(_MAX_ATTEMPTS):
                self._accept(before.value)
                inferred = await self._client.infer(texts, output)
                after = await self._model_since(inferred.epoch)
                # Of one epoch: of one process. Else the model was read before and after, and is the same.
                if after.epoch == inferred.epoch or after.value == before.value:
                    self._accept(after.value)
                    _check_shape(inferred.value, len(texts), after.value)
                    return Embeddings(inferred.value, after.value)
                before = after
        raise EngineUnavailable("The engine changed its model while it was asked.")

    async def model(self, deadline: float) -> ServedModel:
        """The model as Triton says now, whether it is the expected one or not. Raises `EmbeddingError`."""
        async with _until(deadline):
            return (await self._read_model()).value

    async def check(self, deadline: float) -> ServedModel:
        """Embeds a short text through the whole ensemble. Raises `EmbeddingError`."""
        return (await self.embed([_CANARY], normalize=True, deadline=deadline)).model

    async def _model_since(self, epoch: int) -> Reply[ServedModel]:
        """The model, read at that epoch or later; at most one request reads while the others wait for it."""
        known = self._known
        if known is not None and known.epoch >= epoch:
            return known
        async with self._reading:
            known = self._known
            if known is None or known.epoch < epoch:
                known = await self._read_model()
            return known

    async def _read_model(self) -> Reply[ServedModel]:
        config = await self._client.config()
        read = Reply(parse_model_config(config.value), config.epoch)
        if self._known is None or self._known.epoch <= read.epoch:
            self._known = read
        return read

    def _expects(self, model: ServedModel) -> bool:
        return self._expected_model_name in ("", model.name)

    def _accept(self, model: ServedModel) -> None:
        if not self._expects(model):
            raise UnexpectedModel(f"The engine serves {model.name!r}, and {self._expected_model_name!r} is expected.")


@asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    try:
        async with timeout_at(deadline):
            yield
    except asyncio.TimeoutError as error:
        raise DeadlineExceeded("The engine did not answer in time.") from error


def _check_shape(vectors: NDArray[Any], count: int, model: ServedModel) -> None:
    """An answer must be what the configuration says, or something is mixed up that must not reach a database."""
    if vectors.dtype != np.float32:
        raise EngineFailed(f"The engine answered with {vectors.dtype} where float32 is expected.")
    if vectors.shape != (count, model.dimension):
        expected = [count, model.dimension]
        raise EngineFailed(f"The engine answered with a shape of {list(vectors.shape)} where {expected} is expected.")
    if not np.isfinite(vectors).all():
        raise EngineFailed("The engine answered with a vector that has components which are not numbers.")
