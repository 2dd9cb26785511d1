"""Linear layers on weights of 16 bits, with a kernel for every processor and one for those that know bfloat16.

FBGEMM multiplies float32 activations with float16 weights, which halves what is read but not what is computed. oneDNN
takes both in bfloat16 and adds up in float32, the GELU in the same pass: on processors with matrix units for bfloat16
(AMX) that is several times faster, and on others slower than float32. So `model.pt` holds FBGEMM's, and who loads it
may have the other made of it.
"""

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.modules.linear import LinearPackedParams
from torch.nn import functional

from export.encoder import GeluLinear


class HalfLinear(nn.Module):
    """`[T, in]` to `[T, out]`: float32 on both sides, or in oneDNN's kernel bfloat16 out, and in where it comes so."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.inputs = linear.in_features
        self.gelu = isinstance(linear, GeluLinear)
        self._packed_params = LinearPackedParams(dtype=torch.float16)
        self._packed_params.set_weight_bias(linear.weight.detach(), linear.bias.detach())
        self.onednn_is_coarser = True  # 8 bits of a number's value, where float16 has 11: not to be taken unasked
        self.onednn_from = -1
        self.weight = torch.empty(0)
        self.bias = linear.bias.detach().clone()

    def forward(self, tokens: Tensor) -> Tensor:
        if 0 <= self.onednn_from <= tokens.size(0):
            after = "gelu" if self.gelu else "none"
            fused: Tensor = torch.ops.mkldnn._linear_pointwise(
                tokens.to(torch.bfloat16), self.weight, self.bias, after, [], "none"
            )
            return fused
        product: Tensor = torch.ops.quantized.linear_dynamic_fp16(tokens, self._packed_params._packed_params)
        return functional.gelu(product) if self.gelu else product

    @torch.jit.export
    def use_onednn(self, from_tokens: int) -> None:
        """oneDNN's kernel for calls of at least so many tokens: 0 for all, -1 for none. Needs AVX-512 or more."""
        if from_tokens >= 0 and self.weight.numel() == 0:
            weight, _ = torch.ops.quantized.linear_unpack_fp16(self._packed_params._packed_params)
            # Laid out for 16 rows, and taken for any number: other layouts were not faster.
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(torch.bfloat16), 16)
        self.onednn_from = from_tokens

    @torch.jit.export
    def free_unused(self) -> None:
        """Gives back the memory of a kernel that no call takes. FBGEMM is not to be asked for again then."""
        if self.onednn_from == 0:
            self._packed_params.set_weight_bias(torch.zeros(1, 1), None)
        if self.onednn_from < 0:
            self.weight = torch.empty(0)
