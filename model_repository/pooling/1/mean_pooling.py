"""Token embeddings to one vector a text, as pure functions; the formulas are sentence-transformers' own."""

import numpy as np
from numpy.typing import NDArray


def mean_pool(token_embeddings: NDArray[np.float32], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean of the real tokens: `[N, S, D]` and `[N, S]` to `[N, D]` (`Pooling`, mode `mean`).

    A row whose mask is all zeros becomes zeros.

    >>> mean_pool(np.float32([[[1, 2], [3, 4], [9, 9]]]), np.array([[1, 1, 0]])).tolist()
    [[2.0, 3.0]]
    """
    mask = attention_mask.astype(np.float32)
    total = np.matmul(mask[:, np.newaxis, :], token_embeddings)[:, 0, :]
    return total / np.maximum(mask.sum(axis=1, keepdims=True), np.float32(1e-9))


def normalize(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row at unit length: `[N, D]` to `[N, D]` (`torch.nn.functional.normalize`, with its 1e-12 against zeros).

    >>> normalize(np.float32([[3, 4]])).round(6).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    return vectors / np.maximum(lengths, np.float32(1e-12))
