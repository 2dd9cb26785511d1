"""Whether the exported graph gives the original's token embeddings, on shapes that no trace or warm-up has."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from export.errors import VerificationFailed
from export.settings import Precision

# The least cosine to the original that is accepted: of each token's embedding, and of a text's mean. float32 differs by
# the order of its sums alone; float16 by 11-bit weights; int8 by 7-bit weights and 8-bit activations, and single tokens
# of the meaningless texts that are tried say little there.
MINIMUM_COSINE: dict[Precision, float] = {"float32": 0.999999, "float16": 0.99999, "int8": 0.9}


def verification_shapes(max_seq_length: int) -> Iterator[tuple[int, int]]:
    """Pairs of (texts, longest length): one text of each length, then batches of 1 to 100, full length among them."""
    lengths = [1, 2, 3, 5, 7, 11, 19, 31, 47, 63, 97, 127, 191, 255, 383, 511]
    yield from ((1, length) for length in lengths if length < max_seq_length)
    yield from ((texts, longest) for texts, longest in ((2, 9), (5, 33), (17, 21), (64, 6), (100, 13)))
    yield from ((1, max_seq_length), (3, max_seq_length))


def verify(script: Any, original: Any, max_seq_length: int, precision: Precision) -> float:
    """Compares both on random ids with random right padding; answers the least cosine seen.

    Of single tokens' embeddings, or of the texts' means for int8.

    Raises `VerificationFailed` under `MINIMUM_COSINE[precision]`.
    """
    generator = torch.Generator().manual_seed(20)
    least = 1.0
    for texts, longest in verification_shapes(max_seq_length):
        ids = torch.randint(0, original.config.vocab_size, (texts, longest), generator=generator)
        lengths = torch.randint(1, longest + 1, (texts,), generator=generator)
        lengths[0] = longest
        mask = (torch.arange(longest) < lengths[:, None]).long()
        ids = torch.where(mask == 1, ids, original.config.pad_token_id)
        with torch.inference_mode():
            expected = original(input_ids=ids, attention_mask=mask).last_hidden_state
            found = script(ids, mask)
        if precision == "int8":
            found, expected, real = _means(found, mask), _means(expected, mask), torch.ones(texts, dtype=torch.bool)
        else:
            real = mask == 1
        cosine = _least_cosine(found[real], expected[real])
        if not cosine >= MINIMUM_COSINE[precision]:  # not a number fails too
            raise VerificationFailed(
                f"The exported encoder differs from the original on {texts} x {longest} tokens: cosine {cosine:.7f}, "
                f"and {precision} must reach {MINIMUM_COSINE[precision]}."
            )
        least = min(least, cosine)
    return least


def _least_cosine(found: Tensor, expected: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(found.double(), expected.double(), dim=-1).min())


def _means(embeddings: Tensor, mask: Tensor) -> Tensor:
    """`[N, S, D]` and `[N, S]` to `[N, D]`."""
    return (embeddings * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
