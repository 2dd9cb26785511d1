"""Where the time of each request goes: the embedder that notes it, and the header that tells the client."""

from collections.abc import Sequence
from contextvars import ContextVar
from http import HTTPStatus

from proxy.embedding.base import AroundEmbedder, Embedder, Embeddings, Text, TruncationSide
from proxy.embedding.stage_times import StageTimes
from proxy.telemetry.metrics import Metrics


class RequestTimes:
    """The stages of the request under way, as far as it has come to them."""

    def __init__(self) -> None:
        self.stages: StageTimes | None = None  # None until a text was embedded


CURRENT_TIMES: ContextVar[RequestTimes | None] = ContextVar("times", default=None)


class MeteringEmbedder(AroundEmbedder):
    """An `Embedder` around another one: counts what it answers, and notes its stages for the request under way."""

    def __init__(self, embedder: Embedder, metrics: Metrics) -> None:
        super().__init__(embedder)
        self._metrics = metrics

    async def embed(
        self, texts: Sequence[Text], normalize: bool, deadline: float, truncation: TruncationSide = "right"
    ) -> Embeddings:
        """The embedder's own answer."""
        answer = await self._embedder.embed(texts, normalize, deadline, truncation)
        self._metrics.embedded(answer)
        if (times := CURRENT_TIMES.get()) is not None:
            times.stages = answer.stages if times.stages is None else times.stages + answer.stages
        return answer


def server_timing(seconds: float, stages: StageTimes | None, status: int) -> str:
    """The header of an answer after so many seconds, in milliseconds (https://www.w3.org/TR/server-timing/).

    `proxy` is what none of the stages took. A failure's time has no stages: which it came to is not known.

    >>> server_timing(0.0105, StageTimes(queue=0.002, encode=0.006), 200)
    'proxy;dur=2.500, queue;dur=2.000, encode;dur=6.000, total;dur=10.500'
    >>> server_timing(0.001, None, 422), server_timing(0.03, None, 504)
    ('proxy;dur=1.000, total;dur=1.000', 'total;dur=30.000')
    """
    total = f"total;dur={seconds * 1000:.3f}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return total
    if stages is None:
        return f"proxy;dur={seconds * 1000:.3f}, {total}"
    spent = "".join([f"{name};dur={value * 1000:.3f}, " for name, value in stages.items() if value > 0])
    return f"proxy;dur={max(0.0, seconds - stages.total) * 1000:.3f}, {spent}{total}"
