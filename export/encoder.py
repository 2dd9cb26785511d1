"""The encoder as TorchScript: a BERT-like encoder that never computes on padding.

The graph takes the ordinary padded `input_ids` and `attention_mask`, gathers the real tokens into one `[T, D]` matrix,
runs every linear layer on that, and pads only around the attention. Texts are taken in order of length, in forwards of
about `CHUNK_TOKENS` real tokens, so that the activations stay in the processor's cache.
"""

from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

# Real tokens in one forward: enough to keep the cores at work, few enough for their activations to stay in the
# processor's cache.
CHUNK_TOKENS = 512


class PackedLayer(nn.Module):
    """One transformer layer on packed tokens: `[T, D]` to `[T, D]`."""

    def __init__(self, width: int, heads: int, inner: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.intermediate = nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps=epsilon)

    # TorchScript wants `Optional` spelled out.
    def forward(self, tokens: Tensor, batch: int, place: Tensor, bias: Optional[Tensor]) -> Tensor:  # noqa: UP045
        """`batch` texts in `tokens`. `bias` `[B, 1, 1, S]` is 0, or -inf on padding, and None where nothing is padded;
        `place` `[T]` is each token's index in the padded `[B * S]`."""
        width = tokens.size(1)
        packed = self.query_key_value(tokens)
        if bias is not None:
            packed = packed.new_zeros(batch * bias.size(3), 3 * width).index_copy_(0, place, packed)
        split = packed.view(batch, -1, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(split[0], split[1], split[2], attn_mask=bias)
        context = attended.transpose(1, 2).reshape(-1, width)
        if bias is not None:
            context = context.index_select(0, place)
        tokens = self.attention_norm(tokens + self.attention_output(context))
        encoded: Tensor = self.output_norm(tokens + self.output(functional.gelu(self.intermediate(tokens))))
        return encoded


class PackedEncoder(nn.Module):
    """A whole encoder: `input_ids`, `attention_mask` INT64 `[N, S]` to `token_embeddings` FP32 `[N, S, D]`.

    Columns of padding come out as zeros. `padding_index` is -1 for BERT, whose positions count from 0 along the row,
    and the id of the padding token for XLM-RoBERTa, whose positions count the other tokens from `padding_index + 1` on.
    Raises (as TorchScript's RuntimeError) on a token id or a position that the tables do not have.
    """

    def __init__(
        self,
        vocabulary: int,
        positions: int,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        epsilon: float,
        padding_index: int,
        chunk_tokens: int = CHUNK_TOKENS,
    ) -> None:
        super().__init__()
        self.padding_index = padding_index
        self.chunk_tokens = chunk_tokens
        self.word_embeddings = nn.Parameter(torch.zeros(vocabulary, width), requires_grad=False)
        # Holds the embedding of token type 0 as well: a sentence encoder is given no other.
        self.position_embeddings = nn.Parameter(torch.zeros(positions, width), requires_grad=False)
        self.embedding_norm = nn.LayerNorm(width, eps=epsilon)
        self.layers = nn.ModuleList([PackedLayer(width, heads, inner, epsilon) for _ in range(layers)])

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """See the class. A row whose mask is all zeros comes out as zeros."""
        batch, length = input_ids.size(0), input_ids.size(1)
        mask = attention_mask != 0
        columns = torch.arange(1, length + 1).expand_as(input_ids)
        if self.padding_index >= 0:
            kept = (input_ids != self.padding_index).long()
            positions = kept.cumsum(1) * kept + self.padding_index
        else:
            positions = columns - 1
        extents = (columns * mask).amax(1)  # columns up to the last real token
        output = torch.zeros(batch, length, self.position_embeddings.size(1))
        order = extents.argsort()
        counts: list[int] = mask.sum(1)[order].tolist()
        sorted_extents: list[int] = extents[order].tolist()
        start = 0
        while start < batch:
            end = start + 1
            total = counts[start]
            while end < batch and total + counts[end] <= self.chunk_tokens:
                total += counts[end]
                end += 1
            if total > 0:
                rows = order[start:end]
                width = sorted_extents[end - 1]
                chunk = self.encode(input_ids[rows, :width], mask[rows, :width], positions[rows, :width])
                output[rows, :width] = chunk
            start = end
        return output

    def encode(self, input_ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """One forward over all rows given: `[B, S]` each, `mask` BOOL; answers `[B, S, D]`."""
        batch, length = input_ids.size(0), input_ids.size(1)
        place = mask.reshape(-1).nonzero().squeeze(1)
        # `embedding` refuses an id outside the table, where an index would count a negative one from the end.
        tokens = functional.embedding(input_ids.reshape(-1).index_select(0, place), self.word_embeddings).float()
        tokens += functional.embedding(positions.reshape(-1).index_select(0, place), self.position_embeddings)
        tokens = self.embedding_norm(tokens)
        bias: Optional[Tensor] = None  # noqa: UP045
        if tokens.size(0) < batch * length:
            bias = torch.zeros(batch, 1, 1, length).masked_fill_(~mask.view(batch, 1, 1, length), float("-inf"))
        for layer in self.layers:
            tokens = layer(tokens, batch, place, bias)
        if bias is not None:
            tokens = torch.zeros(batch * length, tokens.size(1)).index_copy_(0, place, tokens)
        return tokens.view(batch, length, -1)
