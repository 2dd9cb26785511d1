"""The times of the ensemble's steps, from the spans that they put out."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxy.embedding.stage_times import StageTimes

_NANOSECONDS = 1e9


def of_call(seconds: float, tokenizer_span: NDArray[Any] | None, pooling_span: NDArray[Any] | None) -> StageTimes:
    """The times of a call to the engine that took so long.

    A span is begin and end of a step, INT64 `[N, 2]`, the same for each text: nanoseconds of the monotonic clock of the
    machine that both steps run on. Without both spans all is Triton's.

    >>> milliseconds = 10**6
    >>> of_call(0.01, np.array([[1, 2]]) * milliseconds, np.array([[8, 9]]) * milliseconds)
    StageTimes(queue=0.0, triton=0.002, tokenize=0.001, encode=0.006, pool=0.001)
    >>> of_call(0.01, None, None)
    StageTimes(queue=0.0, triton=0.01, tokenize=0.0, encode=0.0, pool=0.0)
    """
    if not (_is_span(tokenizer_span) and _is_span(pooling_span)):
        return StageTimes(triton=seconds)
    assert tokenizer_span is not None
    assert pooling_span is not None
    instants = (*tokenizer_span[0].tolist(), *pooling_span[0].tolist())
    tokenize, encode, pool = (max(0, end - begin) / _NANOSECONDS for begin, end in pairwise(instants))
    triton = max(0, round(seconds * _NANOSECONDS) - (instants[-1] - instants[0])) / _NANOSECONDS
    return StageTimes(0.0, triton, tokenize, encode, pool)


def _is_span(values: NDArray[Any] | None) -> bool:
    return (
        values is not None
        and values.dtype == np.int64
        and values.ndim == 2
        and len(values) > 0
        and values.shape[1] == 2
    )
