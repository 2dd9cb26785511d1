"""Token ids of many long texts, asked for in parts: the tokenizer is never busy for long with one request."""

import asyncio
from collections.abc import Iterator, Sequence

import numpy as np

from proxy.embedding.base import Embedder, Text, Tokens, TruncationSide
from proxy.embedding.calls import MAX_CHARACTERS, characters


async def tokenize_in_parts(
    embedder: Embedder,
    turn: asyncio.Lock,
    texts: Sequence[Text],
    deadline: float,
    truncation: TruncationSide,
    special_tokens: bool,
) -> Tokens:
    """As `embedder.tokenize`, for texts of any length; `turn` is held for one part at a time. Raises `EmbeddingError`.

    Where another model comes in the middle, it begins again with that one, until it is cancelled.
    """
    parts: list[Tokens] = []
    left = list(_parts(texts))
    while left:
        async with turn:
            part = await embedder.tokenize(left[0], deadline, truncation, special_tokens)
        if parts and part.model != parts[0].model:
            parts, left = [], list(_parts(texts))
        else:
            parts, left = [*parts, part], left[1:]
    ids = [row for part in parts for row in part.ids]
    return Tokens(ids, np.concatenate([part.token_counts for part in parts]), parts[0].model)


def _parts(texts: Sequence[Text]) -> Iterator[Sequence[Text]]:
    """Texts of at most `MAX_CHARACTERS` together, in order.

    >>> [len(part) for part in _parts(["a", "x" * 10**6, "b", "x" * 10**6, "c"])]
    [3, 2]
    """
    start, size = 0, 0
    for end, text in enumerate(texts):
        if start < end and size + characters(text) > MAX_CHARACTERS:
            yield texts[start:end]
            start, size = end, 0
        size += characters(text)
    yield texts[start:]
