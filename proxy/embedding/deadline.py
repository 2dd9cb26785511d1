"""The one timer of a request: what waits for a place, a call, or another's computation has none of its own."""

import asyncio
from collections.abc import Sequence

from proxy.deadlines import within
from proxy.embedding.base import AroundEmbedder, Embeddings, Text, Tokens, TruncationSide


class DeadlineEmbedder(AroundEmbedder):
    """The outermost `Embedder` around others: cancels them at a request's deadline, and raises `DeadlineExceeded`.

    The engine has a timer for each call, which may be for many requests; models and checks are asked of it directly.
    """

    async def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Embeddings:
        """The embedder's own answer; what is there at once needs no timer."""
        work = self._embedder.embed(texts, normalize, deadline, truncation)
        if isinstance(work, asyncio.Future) and work.done():
            answer: Embeddings = work.result()
            return answer
        return await within(deadline, work)

    async def tokenize(
        self,
        texts: Sequence[Text],
        deadline: float,
        truncation: TruncationSide = "right",
        special_tokens: bool = False,
    ) -> Tokens:
        """The embedder's own answer."""
        return await within(deadline, self._embedder.tokenize(texts, deadline, truncation, special_tokens))
