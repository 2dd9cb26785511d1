"""What Prometheus is told: the metrics of one application, in a registry of its own (docs/observability.md)."""

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.embedding.admission import AdmittingEmbedder
from proxy.embedding.base import Embeddings
from proxy.embedding.cache import CachingEmbedder
from proxy.embedding.heartbeat import Heartbeat
from proxy.embedding.stage_times import StageTimes
from proxy.telemetry.counter import Counter
from proxy.telemetry.histogram import Histogram

# The text format of all releases of Prometheus.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Of a request the deadline's default is 30 s; of its stages most take less than a millisecond.
_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STAGE_SECONDS = (0.0001, 0.0005, *_REQUEST_SECONDS)
_TEXTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2048)
_CALL_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts and times of one application. Texts are never labels, nor is anything else that a client chooses."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter("embedding_requests", "Answers, by route and status.", ("route", "status"))
        self._seconds = Histogram(
            "embedding_request_duration_seconds",
            "From a request's head to the end of its answer.",
            _REQUEST_SECONDS,
            label="route",
        )
        stages = Histogram(
            "embedding_stage_duration_seconds",
            "Time of a request in one stage; only of requests that were embedded.",
            _STAGE_SECONDS,
            label="stage",
        )
        self._stages = {stage: stages.of(stage) for stage in ("proxy", *StageTimes.NAMES)}
        self._refusals = Counter(
            "embedding_refusals",
            "Requests refused since as many texts or as large bodies were in hand as are taken on.",
        )
        request_texts = Histogram("embedding_request_texts", "Texts of a request that brought any.", _TEXTS)
        call_texts = Histogram("embedding_call_texts", "Texts of a call to Triton.", _CALL_TEXTS)
        self._request_texts, self._call_texts = request_texts.of(), call_texts.of()
        self._texts = Counter("embedding_texts", "Texts embedded, from the cache or by Triton.")
        self._tokens = Counter(
            "embedding_tokens",
            "Tokens of these texts that the model saw: the special ones counted, and nothing past its limit.",
        )
        self._truncations = Counter("embedding_truncations", "Texts of which the model saw a part.")
        histograms = (self._seconds, stages, request_texts, call_texts)
        for collector in (self._requests, self._refusals, *histograms, self._texts, self._tokens, self._truncations):
            registry.register(collector)
        ProcessCollector(registry=registry)

    def answered(self, route: str, status: int, seconds: float, texts: int | None, refused: bool) -> None:
        """A request is over. `route`: one of few; `texts`: None where it brought none."""
        self._requests.add(1, (route, status))
        self._seconds.of(route).observe(seconds)
        if texts is not None:
            self._request_texts.observe(texts)
        if refused:
            self._refusals.add()

    def staged(self, proxy: float, stages: StageTimes) -> None:
        """Where the time of a request went, in seconds; a stage that it did not come to is left out."""
        self._stages["proxy"].observe(proxy)
        for name, seconds in stages.items():
            if seconds > 0:
                self._stages[name].observe(seconds)

    def embedded(self, answer: Embeddings) -> None:
        """Texts were answered."""
        limit, counts = answer.model.max_seq_length, answer.token_counts.tolist()
        self._texts.add(len(counts))
        seen = cut = 0
        for count in counts:
            if count > limit:
                seen += limit
                cut += 1
            else:
                seen += count
        self._tokens.add(seen)
        if cut:
            self._truncations.add(cut)

    def called(self, texts: int) -> None:
        """A call to Triton is sent."""
        self._call_texts.observe(texts)

    def watch(
        self, heartbeat: Heartbeat, admitting: AdmittingEmbedder | None = None, cache: CachingEmbedder | None = None
    ) -> None:
        """Tells the state of these, too, as it is when it is asked for."""
        self.registry.register(_Engine(heartbeat))
        if admitting is not None:
            in_hand = Gauge("embedding_texts_in_hand", "Texts that wait or are computed now.", registry=self.registry)
            in_hand.set_function(lambda: admitting.in_hand)
        if cache is not None:
            self.registry.register(_Cache(cache))

    def exposition(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


class _Engine(Collector):
    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat

    def collect(self) -> Iterable[Metric]:
        model = self._heartbeat.latest
        yield GaugeMetricFamily(
            "embedding_triton_up", "1 while the check of each second finds Triton well, else 0.", model is not None
        )
        info = GaugeMetricFamily(
            "embedding_model_info", "1, with the model that is served.", labels=["model", "version", "precision"]
        )
        if model is not None:
            info.add_metric([model.name, model.version, model.precision], 1)
        yield info


class _Cache(Collector):
    def __init__(self, cache: CachingEmbedder) -> None:
        self._cache = cache

    def collect(self) -> Iterable[Metric]:
        counts = self._cache.counts
        yield CounterMetricFamily(
            "embedding_cache_hits", "Texts answered from memory, or by what another had under way.", counts.hits
        )
        yield CounterMetricFamily("embedding_cache_misses", "Texts that were computed.", counts.misses)
        yield GaugeMetricFamily("embedding_cache_texts", "Texts remembered.", counts.texts)
        yield GaugeMetricFamily("embedding_cache_bytes", "Bytes that they take, about.", counts.bytes)
        yield GaugeMetricFamily("embedding_cache_limit_bytes", "Bytes that they may take.", counts.limit_bytes)
