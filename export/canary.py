"""A text and the vector that it must give: what a check of the running service is compared with."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from export.conversion import TextTokenizer
from export.errors import VerificationFailed
from export.settings import Precision

# A query as users send it: short, so that asking each second costs little, and not of one script alone.
TEXT = "health 확인"

# The least cosine to the original's vector that a check accepts. Seen on sentences (docs/benchmarks/accuracy.json): at
# least 0.9999998 in float32, 0.9999992 in float16 and 0.96 in int8, whose activations' scale depends on what is
# computed beside it. The nearest wrong text that was tried, two tokens short, is at 0.92.
MINIMUM_COSINE: dict[Precision, float] = {"float32": 0.9999, "float16": 0.9999, "int8": 0.95}


@dataclass(frozen=True)
class Canary:
    """Ids and vector of `TEXT`, both from the original."""

    token_ids: Tensor  # int64 [1, S]
    vector: Tensor  # float32 [D], the mean of the original's token embeddings at unit length

    @property
    def encoded(self) -> str:
        """The vector as a parameter of Triton's configuration: base64 of float32, little-endian."""
        return base64.b64encode(self.vector.numpy().astype("<f4").tobytes()).decode("ascii")

    def verify(self, script: Any, precision: Precision) -> float:
        """The cosine of what the exported graph gives. Raises `VerificationFailed` under the least one."""
        cosine = float(_embed(script, self.token_ids) @ self.vector.double())
        if not cosine >= MINIMUM_COSINE[precision]:  # not a number fails too
            raise VerificationFailed(
                f"The exported encoder differs from the original on the text {TEXT!r}: cosine {cosine:.7f}, and "
                f"{precision} must reach {MINIMUM_COSINE[precision]}."
            )
        return cosine


def make_canary(original: Any, tokenizer: TextTokenizer) -> Canary:
    """Asks the original, in eager mode and float32."""

    def encode(ids: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = original(input_ids=ids, attention_mask=mask).last_hidden_state
        return found

    ids = torch.tensor([tokenizer.tokenizer.encode(TEXT).ids])
    return Canary(ids, _embed(encode, ids).float())


def _embed(encoder: Callable[[Tensor, Tensor], Tensor], ids: Tensor) -> Tensor:
    """`[1, S]` to the unit vector of the text, float64 `[D]`."""
    with torch.inference_mode():
        mean = encoder(ids, torch.ones_like(ids))[0].double().mean(0)
    return torch.nn.functional.normalize(mean, dim=0)
