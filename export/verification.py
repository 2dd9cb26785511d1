"""Whether the exported graph gives the original's token embeddings, on shapes that no trace or warm-up has."""

from collections.abc import Iterator
from typing import Any, get_args

import torch
from torch import Tensor

from export.errors import VerificationFailed
from export.kernels import Kernel, kernels
from export.settings import Precision

# The least cosine to the original that is accepted: of each token's embedding, and of a text's mean. float32 differs by
# the order of its sums alone; float16 by 11-bit weights; int8 by 7-bit weights and 8-bit activations, and single tokens
# of the meaningless texts that are tried say little there.
MINIMUM_COSINE: dict[Precision, float] = {"float32": 0.999999, "float16": 0.99999, "int8": 0.9}
# oneDNN's kernel for float16 has 8-bit significands on both sides (export/half_linear.py). A token's error is several
# times that of its text's mean.
_BFLOAT16_MINIMUM_COSINE = 0.999


def verification_shapes(max_seq_length: int) -> Iterator[tuple[int, int]]:
    """Pairs of (texts, longest length): one text of each length, then batches of 1 to 100, full length among them."""
    lengths = [1, 2, 3, 5, 7, 11, 19, 31, 47, 63, 97, 127, 191, 255, 383, 511]
    yield from ((1, length) for length in lengths if length < max_seq_length)
    yield from ((texts, longest) for texts, longest in ((2, 9), (5, 33), (17, 21), (64, 6), (100, 13)))
    yield from ((1, max_seq_length), (3, max_seq_length))


def minimum_cosine(precision: Precision, kernel: Kernel) -> float:
    """What `verify` accepts."""
    return _BFLOAT16_MINIMUM_COSINE if (precision, kernel) == ("float16", "onednn") else MINIMUM_COSINE[precision]


def verify(script: Any, original: Any, max_seq_length: int, precision: Precision) -> float:
    """Compares both on random ids with random right padding; answers the least cosine seen with FBGEMM's kernel.

    Of single tokens' embeddings, or of the texts' means for int8.

    Raises `VerificationFailed` where a kernel of `script` that works on this processor is under `minimum_cosine`.
    """
    references = list(_references(original, max_seq_length))
    least = dict.fromkeys(get_args(Kernel), 1.0)
    for kernel in kernels(script):
        for ids, mask, expected in references:
            with torch.inference_mode():
                cosine = _least_cosine(script(ids, mask), expected, mask, precision)
            if not cosine >= minimum_cosine(precision, kernel):  # not a number fails too
                raise VerificationFailed(
                    f"The exported encoder differs from the original on {ids.size(0)} x {ids.size(1)} tokens: cosine "
                    f"{cosine:.7f}, and {precision} must reach {minimum_cosine(precision, kernel)} ({kernel})."
                )
            least[kernel] = min(least[kernel], cosine)
    return least["fbgemm"]


def _references(original: Any, max_seq_length: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Ids and mask `[N, S]`, and what the original makes of them, `[N, S, D]`."""
    generator = torch.Generator().manual_seed(20)
    for texts, longest in verification_shapes(max_seq_length):
        ids = torch.randint(0, original.config.vocab_size, (texts, longest), generator=generator)
        lengths = torch.randint(1, longest + 1, (texts,), generator=generator)
        lengths[0] = longest
        mask = (torch.arange(longest) < lengths[:, None]).long()
        ids = torch.where(mask == 1, ids, original.config.pad_token_id)
        with torch.inference_mode():
            yield ids, mask, original(input_ids=ids, attention_mask=mask).last_hidden_state


def _least_cosine(found: Tensor, expected: Tensor, mask: Tensor, precision: Precision) -> float:
    """Of the texts' means for int8, else of the tokens; `[N, S, D]` and `mask` `[N, S]`."""
    if precision == "int8":
        found, expected = _means(found, mask), _means(expected, mask)
    else:
        found, expected = found[mask == 1], expected[mask == 1]
    return float(torch.nn.functional.cosine_similarity(found.double(), expected.double(), dim=-1).min())


def _means(embeddings: Tensor, mask: Tensor) -> Tensor:
    """`[N, S, D]` and `[N, S]` to `[N, D]`."""
    return (embeddings * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
