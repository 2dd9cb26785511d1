"""An embedder that answers when a test says so, and tells what it was asked."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from proxy.embedding.base import Embeddings, Text, Tokens, TruncationSide
from proxy.embedding.model import ServedModel
from tests.fakes.fake_embedder import MODEL, embed, tokenize


class SlowEmbedder:
    """Holds each call until `release` is called, or answers at once where `held` is False."""

    def __init__(self, held: bool = True) -> None:
        self.calls: list[list[Text]] = []
        self.cancelled = 0
        self.failures: dict[Text, Exception] = {}  # by a text of the call
        self.served = MODEL
        self._held = held
        self._gate = asyncio.Event()

    def hold(self) -> None:
        self._held = True
        self._gate.clear()

    def release(self) -> None:
        self._held = False
        self._gate.set()

    def release_from_elsewhere(self) -> None:
        """For a test whose embedder runs in another thread's event loop: later calls are not held."""
        self._held = False

    def serve_another_model(self) -> None:
        self.served = replace(MODEL, name="another")

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def embed(
        self,
        texts: Sequence[Text],
        normalize: bool,
        deadline: float,  # noqa: ARG002
        truncation: TruncationSide = "right",
    ) -> Embeddings:
        self.calls.append(list(texts))
        served = self.served
        try:
            if self._held:
                await self._gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        for text in texts:
            if text in self.failures:
                raise self.failures[text]
        return embed(texts, normalize, served, truncation)

    async def tokenize(
        self,
        texts: Sequence[Text],
        deadline: float,  # noqa: ARG002
        truncation: TruncationSide = "right",  # noqa: ARG002
        special_tokens: bool = False,
    ) -> Tokens:
        return tokenize(texts, special_tokens, self.served)

    async def model(self, deadline: float) -> ServedModel:  # noqa: ARG002
        return self.served

    async def check(self, deadline: float) -> ServedModel:  # noqa: ARG002
        return self.served
