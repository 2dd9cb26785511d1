"""Text to padded token ids, as pure functions on a `tokenizers.Tokenizer`."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

# Lengths that a batch is padded to, so that requests of about equal length have equal shapes and meet in one batch of
# the encoder: Triton's dynamic batcher joins no others. The encoder drops the padding before it computes.
LENGTH_BUCKETS = (16, 32, 64, 128, 256, 512)


class TokenizedTexts(NamedTuple):
    """What the tokenizer step answers for N texts, padded to one length S."""

    input_ids: NDArray[np.int64]  # [N, S]
    attention_mask: NDArray[np.int64]  # [N, S], 1 on tokens, 0 on padding
    token_count: NDArray[np.int32]  # [N, 1], tokens of the whole text with the special ones, before truncation
    truncated: NDArray[np.bool_]  # [N, 1], whether token_count is over the model's max_seq_length


class InvalidText(ValueError):
    """A text that cannot be tokenized; the message names its place in the request."""


def decode_texts(texts: Sequence[bytes]) -> list[str]:
    """UTF-8 to text.

    >>> decode_texts([b"\\xea\\xb0\\x88\\xeb\\xb9\\x84"])
    ['갈비']

    Raises `InvalidText` on the first one that is not UTF-8.
    """
    decoded = []
    for index, text in enumerate(texts):
        try:
            decoded.append(text.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidText(f"text {index} is not valid UTF-8 (byte {error.start})") from None
    return decoded


def bucket_length(longest: int, limit: int) -> int:
    """The length to pad to: the first bucket that holds `longest`, and never more than `limit` (max_seq_length).

    >>> bucket_length(9, 128), bucket_length(17, 128), bucket_length(100, 120)
    (16, 32, 120)
    """
    return min(next((bucket for bucket in LENGTH_BUCKETS if bucket >= longest), longest), limit)


def count_tokens(encoding: Encoding, special_tokens: int) -> int:
    """Tokens of the whole text: those kept, and those that truncation moved to `overflowing`."""
    return len(encoding.ids) + sum(len(part.ids) - special_tokens for part in encoding.overflowing)


def pad_encodings(encodings: Sequence[Encoding], tokenizer: Tokenizer, padding_id: int) -> TokenizedTexts:
    """Pads the encodings of one request on the right to their common bucket.

    `tokenizer` must have truncation on (its `max_length` is the limit) and padding off.
    """
    limit: int = tokenizer.truncation["max_length"]
    special_tokens = tokenizer.num_special_tokens_to_add(False)
    length = bucket_length(max(len(encoding.ids) for encoding in encodings), limit)
    input_ids = np.full((len(encodings), length), padding_id, dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, encoding in enumerate(encodings):
        ids = encoding.ids
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    token_count = np.array([[count_tokens(encoding, special_tokens)] for encoding in encodings], dtype=np.int32)
    return TokenizedTexts(input_ids, attention_mask, token_count, token_count > limit)
