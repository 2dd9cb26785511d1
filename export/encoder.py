"""The encoder as TorchScript: a BERT-like encoder that never computes on padding.

The graph takes the ordinary padded `input_ids` and `attention_mask`, gathers the real tokens into one `[T, D]` matrix,
runs every linear layer on that, and the attention on texts of equal length together. Texts are taken in order of
length, in forwards of about `CHUNK_TOKENS` real tokens, so that the activations stay in the processor's cache.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

# Real tokens in one forward: enough to keep the cores at work, few enough for their activations to stay in the
# processor's cache.
CHUNK_TOKENS = 512


class GeluLinear(nn.Linear):
    """A linear layer with the GELU after it, in one module since some kernels compute both at once."""

    def forward(self, tokens: Tensor) -> Tensor:
        activated: Tensor = functional.gelu(functional.linear(tokens, self.weight, self.bias))
        return activated


class PackedLayer(nn.Module):
    """One transformer layer on packed tokens: `[T, D]` to `[T, D]`."""

    def __init__(self, width: int, heads: int, inner: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.intermediate = GeluLinear(width, inner)
        self.output = nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps=epsilon)

    def forward(self, tokens: Tensor, runs: list[tuple[int, int]]) -> Tensor:
        """`runs`: texts and tokens of each, for the texts of equal length that follow one another in `tokens`.

        Linear layers may answer in bfloat16 (see export/half_linear.py); attention, sums and norms are in float32.
        """
        width = tokens.size(1)
        joined = self.query_key_value(tokens)
        context = torch.empty_like(tokens, dtype=joined.dtype)
        joined = joined.float()
        start = 0
        for texts, length in runs:
            end = start + texts * length
            split = joined[start:end].view(texts, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(split[0], split[1], split[2])
            context[start:end].view(texts, length, self.heads, width // self.heads).copy_(attended.transpose(1, 2))
            start = end
        tokens = self.attention_norm(tokens + self.attention_output(context))
        encoded: Tensor = self.output_norm(tokens + self.output(self.intermediate(tokens)))
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
        if self.padding_index >= 0:
            kept = (input_ids != self.padding_index).long()
            positions = kept.cumsum(1) * kept + self.padding_index
        else:
            positions = torch.arange(length).expand_as(input_ids)
        counts, order = mask.sum(1).sort()
        real = mask[order].reshape(-1).nonzero().squeeze(1)
        place = (order.unsqueeze(1) * length + torch.arange(length)).reshape(-1)[real]  # in the input, rows in order
        # `embedding` refuses an id outside the table, where an index would count a negative one from the end.
        tokens = functional.embedding(input_ids.reshape(-1)[place], self.word_embeddings).float()
        tokens += functional.embedding(positions.reshape(-1)[place], self.position_embeddings)
        tokens = self.embedding_norm(tokens)
        output = torch.zeros(batch * length, tokens.size(1))
        lengths: list[int] = counts.tolist()
        start = 0
        for runs in self.chunks(lengths):
            end = start
            for texts, tokens_each in runs:
                end += texts * tokens_each
            chunk = tokens[start:end]
            for layer in self.layers:
                chunk = layer(chunk, runs)
            output.index_copy_(0, place[start:end], chunk)
            start = end
        return output.view(batch, length, -1)

    def chunks(self, counts: list[int]) -> list[list[tuple[int, int]]]:
        """The runs (see `PackedLayer`) of each chunk: at most `chunk_tokens`, but at least one text."""
        chunks: list[list[tuple[int, int]]] = []
        total = 0
        for count in counts:
            if count > 0:
                if len(chunks) == 0 or total + count > self.chunk_tokens:
                    empty: list[tuple[int, int]] = []
                    chunks.append(empty)
                    total = 0
                runs = chunks[-1]
                if len(runs) > 0 and runs[-1][1] == count:
                    runs[-1] = (runs[-1][0] + 1, count)
                else:
                    runs.append((1, count))
                total += count
        return chunks


def replace_linears(encoder: PackedEncoder, made: Callable[[str, nn.Linear], nn.Module]) -> None:
    """Puts what `made` answers to its name and itself in the place of each linear layer."""
    for name, module in list(encoder.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, attribute = name.rpartition(".")
            setattr(encoder.get_submodule(parent), attribute, made(name, module))
