"""Text, or token ids, to padded token ids: pure functions on a `tokenizers.Tokenizer`."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

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


class Options(NamedTuple):
    """What a request may ask for beside its texts, as parameters of the inference; a step before had none of them."""

    truncation_side: str = "right"  # where a long text is cut: "right" or "left"
    text_format: str = "text"  # "text", or "token_ids": each text is a JSON array of ids without the special tokens
    special_tokens: bool = True  # whether input_ids and attention_mask hold the special tokens


NOTHING_ASKED = Options()

_CHOICES: dict[str, tuple[Any, ...]] = {
    "truncation_side": ("right", "left"),
    "text_format": ("text", "token_ids"),
    "special_tokens": (True, False),
}


class InvalidText(ValueError):
    """A text that cannot be tokenized; the message names its place in the request."""


class InvalidOption(ValueError):
    """A parameter with a value that is none of its choices; the message names both."""


def parse_options(parameters: str) -> Options:
    """The options among a request's parameters, which Triton hands over as a JSON object; others are ignored.

    >>> parse_options('{"truncation_side": "left", "priority": 1}')
    Options(truncation_side='left', text_format='text', special_tokens=True)

    Raises `InvalidOption`.
    """
    given = json.loads(parameters) if parameters else {}
    chosen = {name: given[name] for name in _CHOICES if name in given}
    for name, value in chosen.items():
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in _CHOICES[name]):
            choices = " or ".join(map(json.dumps, _CHOICES[name]))
            raise InvalidOption(f"parameter {name} is {json.dumps(value)}: it should be {choices}")
    return Options(**chosen)


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


def decode_token_ids(texts: Sequence[bytes], tokenizer: Tokenizer) -> list[list[int]]:
    """JSON arrays of ids, each in the tokenizer's vocabulary. Raises `InvalidText` on the first that is not."""
    decoded = []
    for index, text in enumerate(texts):
        try:
            ids = json.loads(text)
        except (ValueError, RecursionError):
            ids = None
        if not isinstance(ids, list) or not all(type(token) is int for token in ids):
            raise InvalidText(f"text {index} is not valid token ids: a JSON array of whole numbers is expected")
        for token in dict.fromkeys(ids):
            if not 0 <= token < 2**31 or tokenizer.id_to_token(token) is None:
                raise InvalidText(f"text {index} is not valid token ids: the vocabulary has no {str(token)[:20]}")
        decoded.append(ids)
    return decoded


def bucket_length(longest: int, limit: int) -> int:
    """The length to pad to: the first bucket that holds `longest`, and never more than `limit` (max_seq_length).

    >>> bucket_length(9, 128), bucket_length(17, 128), bucket_length(100, 120)
    (16, 32, 120)
    """
    return min(next((bucket for bucket in LENGTH_BUCKETS if bucket >= longest), longest), limit)


def special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before a text, and those after it."""
    probe = tokenizer.encode("a")
    is_special = probe.special_tokens_mask
    text = [place for place, special in enumerate(is_special) if not special]
    return probe.ids[: text[0]], probe.ids[text[-1] + 1 :]


def count_tokens(encoding: Encoding, special_tokens: int) -> int:
    """Tokens of the whole text: those kept, and those that truncation moved to `overflowing`."""
    return len(encoding.ids) + sum(len(part.ids) - special_tokens for part in encoding.overflowing)


def text_ids(encoding: Encoding) -> list[int]:
    """The ids of the whole text without the special tokens, those that truncation moved to `overflowing` included."""
    return [
        token
        for part in (encoding, *encoding.overflowing)
        for token, special in zip(part.ids, part.special_tokens_mask, strict=True)
        if not special
    ]


def cut(ids: list[int], room: int, side: str) -> list[int]:
    """At most `room` of the ids, taken off on `side`.

    >>> cut([1, 2, 3, 4], 3, "right"), cut([1, 2, 3, 4], 3, "left"), cut([1, 2], 3, "left")
    ([1, 2, 3], [2, 3, 4], [1, 2])
    """
    return ids[:room] if side == "right" else ids[max(0, len(ids) - room) :]


def seen_ids(ids: list[int], options: Options, limit: int, around: tuple[list[int], list[int]]) -> list[int]:
    """What the model sees of a text with these ids: cut to `limit`, and with the special tokens `around` it.

    >>> seen_ids([5, 6, 7], Options(truncation_side="left"), 4, ([0], [2]))
    [0, 6, 7, 2]
    """
    before, after = around
    kept = cut(ids, limit - len(before) - len(after), options.truncation_side)
    return [*before, *kept, *after] if options.special_tokens else kept


def pad(rows: Sequence[Sequence[int]], token_counts: Sequence[int], limit: int, padding_id: int) -> TokenizedTexts:
    """Pads the ids of one request on the right to their common bucket."""
    length = bucket_length(max(map(len, rows)), limit)
    input_ids = np.full((len(rows), length), padding_id, dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, ids in enumerate(rows):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    token_count = np.array(token_counts, dtype=np.int32).reshape(-1, 1)
    return TokenizedTexts(input_ids, attention_mask, token_count, token_count > limit)


def pad_encodings(
    encodings: Sequence[Encoding],
    tokenizer: Tokenizer,
    padding_id: int,
    options: Options = NOTHING_ASKED,
    token_counts: Sequence[int | None] = (),
) -> TokenizedTexts:
    """Pads the encodings of one request on the right to their common bucket.

    `tokenizer` must have truncation on (its `max_length` is the limit), on the right, and padding off. Cutting on the
    left is done here, from what it moved to `overflowing`: a tokenizer for each side would take the memory twice.
    `token_counts`: of the encodings that are of a part of their text, see cutting.py; None for those of a whole one.
    """
    limit: int = tokenizer.truncation["max_length"]
    counts = [count_tokens(encoding, tokenizer.num_special_tokens_to_add(False)) for encoding in encodings]
    if token_counts:
        counts = [count if known is None else known for count, known in zip(counts, token_counts, strict=True)]
    if options.truncation_side == "right" and options.special_tokens:
        rows = [encoding.ids for encoding in encodings]
    else:
        around = special_tokens(tokenizer)
        rows = [seen_ids(text_ids(encoding), options, limit, around) for encoding in encodings]
    return pad(rows, counts, limit, padding_id)


def pad_token_ids(
    texts: Sequence[list[int]], tokenizer: Tokenizer, padding_id: int, options: Options
) -> TokenizedTexts:
    """As `pad_encodings`, for texts that came as ids without the special tokens."""
    limit: int = tokenizer.truncation["max_length"]
    around = special_tokens(tokenizer)
    counts = [len(ids) + len(around[0]) + len(around[1]) for ids in texts]
    return pad([seen_ids(ids, options, limit, around) for ids in texts], counts, limit, padding_id)
