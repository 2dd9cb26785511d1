"""Linear layers in int8: weights by output channel at export, activations anew in each call.

FBGEMM multiplies 8-bit activations with 8-bit weights, two products to a 16-bit sum on processors without VNNI, where
two large products overflow. Weights of 7 bits cannot: 2 * 255 * 63 < 32768. So the vectors are the same everywhere.

A few input channels of a transformer are far larger than the others, and one scale for all of them leaves the
others few steps. As in SmoothQuant (Xiao et al. 2023, https://arxiv.org/abs/2211.10438), each channel is divided by
`max|x|^a / max|w|^(1-a)`, and the weights are multiplied by it; the maxima of the activations come from random tokens.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.modules.linear import LinearPackedParams

from export.encoder import PackedEncoder

WEIGHT_LIMIT = 63  # of 7 bits
SMOOTHING = 0.65  # `a`: above 0.5, since the activations are harder to quantize than the weights
_LEAST = 1e-5


class Int8Linear(nn.Module):
    """A linear layer on packed int8 weights; `[T, in]` to `[T, out]`, float32 on both sides."""

    def __init__(self, linear: nn.Linear, largest_inputs: Tensor) -> None:
        """`largest_inputs` `[in]`: the largest magnitude of each input channel."""
        super().__init__()
        self.inverse_factors: Tensor
        weight = linear.weight.detach()
        channels = weight.abs().amax(0).clamp(min=_LEAST)
        inputs = largest_inputs.clamp(min=_LEAST)
        factors = inputs.pow(SMOOTHING) / channels.pow(1 - SMOOTHING)
        self.register_buffer("inverse_factors", 1 / factors)
        smoothed = weight * factors
        scales = (smoothed.abs().amax(1) / WEIGHT_LIMIT).clamp(min=1e-8).double()
        zeros = torch.zeros(len(scales), dtype=torch.long)
        self._packed_params = LinearPackedParams(dtype=torch.qint8)
        self._packed_params.set_weight_bias(
            torch.quantize_per_channel(smoothed, scales, zeros, 0, torch.qint8), linear.bias.detach()
        )

    def forward(self, tokens: Tensor) -> Tensor:
        # All 8 bits for the activations, since the weights leave them room.
        product: Tensor = torch.ops.quantized.linear_dynamic(
            tokens * self.inverse_factors, self._packed_params._packed_params, reduce_range=False
        )
        return product


def quantize_int8(encoder: PackedEncoder) -> None:
    """Replaces every linear layer of `encoder`, float32, in place."""
    largest = _largest_inputs(encoder)
    for name, module in list(encoder.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, attribute = name.rpartition(".")
            setattr(encoder.get_submodule(parent), attribute, Int8Linear(module, largest[name]))


def _largest_inputs(encoder: PackedEncoder) -> dict[str, Tensor]:
    """The largest magnitude of each input channel of each linear layer, over random tokens."""
    largest: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def see(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found = inputs[0].abs().amax(0)
            largest[name] = torch.maximum(largest[name], found) if name in largest else found

        return see

    linears = ((name, module) for name, module in encoder.named_modules() if isinstance(module, nn.Linear))
    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in linears]
    generator = torch.Generator().manual_seed(20)
    vocabulary = encoder.word_embeddings.size(0)
    positions = encoder.position_embeddings.size(0) - (encoder.padding_index + 1)
    with torch.inference_mode():
        for texts, length in ((24, 3), (24, 6), (24, 12), (24, 24), (12, 48), (6, 96)):
            ids = torch.randint(0, vocabulary, (texts, min(length, positions)), generator=generator)
            encoder(ids, torch.ones_like(ids))
    for hook in hooks:
        hook.remove()
    return {name: values.clone() for name, values in largest.items()}
