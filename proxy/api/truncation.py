"""Texts that are longer than the model reads: refused where the client asked for that, and told where it asked."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi.exceptions import RequestValidationError

from proxy.embedding.base import Embeddings, TruncationSide

TOO_MANY_TOKENS = "too_many_tokens"

Truncate = Literal["right", "left", "error"]  # as the client says it


def truncation_side(truncate: Truncate) -> TruncationSide:
    """Where to cut. With "error" it does not matter: nothing that was cut is answered.

    The counts come with the vectors, and from the cache with them, so a request that is not refused costs nothing more;
    to count first would cost every request a pass through the tokenizer.
    """
    return "left" if truncate == "left" else "right"


def refuse_truncated(truncate: Truncate, embeddings: Embeddings, places: list[list[str | int]]) -> None:
    """With "error", raises `RequestValidationError` that names each text which was cut off.

    `places`: where each text stands in the request's body, as `["texts", 3]`.
    """
    if truncate != "error" or not embeddings.truncated.any():
        return
    limit = embeddings.model.max_seq_length
    raise RequestValidationError(
        [
            {
                "type": TOO_MANY_TOKENS,
                "loc": ["body", *place],
                "msg": f"Text should have at most {limit} tokens with the special ones, and has {count}",
                "ctx": {"max_tokens": limit, "tokens": int(count)},
            }
            for place, count, truncated in zip(places, embeddings.token_counts, embeddings.truncated, strict=True)
            if truncated
        ]
    )


def places_in(field: str, texts: Sequence[object]) -> list[list[str | int]]:
    """Where each of the texts stands in a body that has them in this field."""
    return [[field, place] for place in range(len(texts))]


def token_fields(return_tokens: bool, embeddings: Embeddings) -> dict[str, Any]:
    """`tokens` and `truncated`, a list of each, where they are asked for."""
    if not return_tokens:
        return {}
    return {"tokens": embeddings.token_counts, "truncated": embeddings.truncated}
