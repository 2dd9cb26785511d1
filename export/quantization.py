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
from torch.nn import functional

from export.encoder import GeluLinear, PackedEncoder, replace_linears

WEIGHT_LIMIT = 63  # of 7 bits
SMOOTHING = 0.65  # `a`: above 0.5, since the activations are harder to quantize than the weights
_LEAST = 1e-5


class Int8Linear(nn.Module):
    """A linear layer on packed int8 weights; `[T, in]` to `[T, out]`, float32 on both sides.

    FBGEMM multiplies them, or oneDNN, with the same products and sums: which is faster depends on the processor.
    """

    def __init__(self, linear: nn.Linear, largest_inputs: Tensor) -> None:
        """`largest_inputs` `[in]`: the largest magnitude of each input channel."""
        super().__init__()
        self.inputs = linear.in_features
        self.gelu = isinstance(linear, GeluLinear)
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
        self.onednn_from = -1
        self.onednn_is_packed = False
        self._onednn_params = LinearPackedParams(dtype=torch.qint8)

    def forward(self, tokens: Tensor) -> Tensor:
        smoothed = tokens * self.inverse_factors
        # All 8 bits for the activations, since the weights leave them room.
        if 0 <= self.onednn_from <= tokens.size(0):
            product: Tensor = torch.ops.quantized.linear_dynamic(
                smoothed, self._onednn_params._packed_params, reduce_range=False
            )
        else:
            product = torch.ops.quantized.linear_dynamic(
                smoothed, self._packed_params._packed_params, reduce_range=False
            )
        return functional.gelu(product) if self.gelu else product

    @torch.jit.export
    def use_onednn(self, from_tokens: int) -> None:
        """oneDNN's kernel for calls of at least so many tokens: 0 for all, -1 for none.

        To be called with "onednn" as `torch.backends.quantized.engine`.
        """
        if from_tokens >= 0 and not self.onednn_is_packed:
            weight, bias = self._packed_params._weight_bias()
            self._onednn_params.set_weight_bias(weight, bias)
            self.onednn_is_packed = True
        self.onednn_from = from_tokens

    @torch.jit.export
    def free_unused(self) -> None:
        """Gives back the memory of a kernel that no call takes. FBGEMM is not to be asked for again then."""
        if self.onednn_from == 0:
            self._packed_params._packed_params = self._onednn_params._packed_params
        if self.onednn_from < 0:
            nothing = torch.quantize_per_tensor(torch.zeros(1, 1), 1.0, 0, torch.qint8)
            self._onednn_params.set_weight_bias(nothing, None)
            self.onednn_is_packed = False


def quantize_int8(encoder: PackedEncoder) -> None:
    """Replaces every linear layer of `encoder`, float32, in place."""
    largest = _largest_inputs(encoder)
    replace_linears(encoder, lambda name, linear: Int8Linear(linear, largest[name]))


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
