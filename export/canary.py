"""A text and the vector that it must give: what a check of the running service is compared with."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from export.conversion import TextTokenizer
from export.errors import VerificationFailed
from export.kernels import kernels
from export.settings import Precision

# A query as users send it: short, so that asking each second costs little, and not of one script alone.
TEXT = "health 확인"

# The least cosine to the original's vector that an export must reach.
MINIMUM_COSINE: dict[Precision, float] = {"float32": 0.9999, "float16": 0.9999, "int8": 0.95}

# A check accepts so many times the error that the export saw, and rounding in any case: an int8 vector differs with
# what is computed beside it. How near a wrong text comes depends on the model, so one figure does not serve all; a test
# tries wrong texts on two real models.
_ERROR_FACTOR = 5
_ROUNDING_COSINE = 0.9999


@dataclass(frozen=True)
class Canary:
    """Ids and vector of `TEXT`, both from the original."""

    token_ids: Tensor  # int64 [1, S]
    vector: Tensor  # float32 [D], the mean of the original's token embeddings at unit length

    @property
    def encoded(self) -> str:
        """The vector as a parameter of Triton's configuration: base64 of float32, little-endian."""
        return base64.b64encode(self.vector.numpy().astype("<f4").tobytes()).decode("ascii")

    def cosine(self, script: Any) -> float:
        """Of what the exported graph gives to the vector."""
        return float(_embed(script, self.token_ids) @ self.vector.double())

    def verify(self, script: Any, precision: Precision) -> float:
        """The least cosine that a check of the service accepts.

        Raises `VerificationFailed` where the graph's own, with a kernel that works here, is under
        `MINIMUM_COSINE[precision]`.
        """
        cosine = min(self.cosine(script) for _ in kernels(script))
        if not cosine >= MINIMUM_COSINE[precision]:  # not a number fails too
            raise VerificationFailed(
                f"The exported encoder differs from the original on the text {TEXT!r}: cosine {cosine:.7f}, and "
                f"{precision} must reach {MINIMUM_COSINE[precision]}."
            )
        return min(_ROUNDING_COSINE, 1 - _ERROR_FACTOR * (1 - cosine))


def make_canary(original: Any, tokenizer: TextTokenizer) -> Canary:
    """Asks the original, in eager mode and float32."""

    def encode(ids: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = original(input_ids=ids, attention_mask=mask).last_hidden_state
        return found

    ids = torch.tensor([tokenizer.tokenizer.encode(tokenizer.prompt + TEXT).ids])
    return Canary(ids, _embed(encode, ids).float())


def _embed(encoder: Callable[[Tensor, Tensor], Tensor], ids: Tensor) -> Tensor:
    """`[1, S]` to the unit vector of the text, float64 `[D]`."""
    with torch.inference_mode():
        mean = encoder(ids, torch.ones_like(ids))[0].double().mean(0)
    return torch.nn.functional.normalize(mean, dim=0)
