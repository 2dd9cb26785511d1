"""The alternating measurements: each round goes through every service, so that a slow minute hits them all."""

from collections.abc import Mapping

from bench.forward import BareForward
from bench.load import RequestSequence, checked, load, sequence
from bench.plan import Plan
from bench.processes import processor_seconds
from bench.results import Results
from bench.services import Service
from bench.statistics import percentile
from bench.texts import LongTexts, Queries

CLIENTS = 16  # of the rows with short queries


class Rounds:
    """Works on services that are up. `forwards`: the bare forward of each of ours."""

    def __init__(
        self,
        plan: Plan,
        services: Mapping[str, Service],
        forwards: Mapping[str, BareForward],
        queries: Queries,
        long_texts: LongTexts,
        results: Results,
    ) -> None:
        self.plan = plan
        self.services = services
        self.forwards = forwards
        self.queries = queries
        self.long_texts = long_texts
        self.results = results
        self._latencies: dict[str, list[float]] = {}
        self._processor: dict[str, dict[str, float]] = {}  # seconds by process, over `_requests`
        self._requests: dict[str, int] = {}

    @property
    def ours(self) -> list[Service]:
        return [service for service in self.services.values() if service.is_ours]

    def run(self) -> None:
        """Every round; a measurement that fails is noted and tried again in the next."""
        for service in self.services.values():
            with self.results.part(f"warm up {service.name}", service.is_optional):
                self._short(service, self.plan.warm_up)
                self._batches(service, 1)
        for number in range(1, self.plan.rounds + 1):
            for service in self.services.values():
                with self.results.part(f"round {number} of {self.plan.rounds}: {service.name}", service.is_optional):
                    self._measure(service)
        self._summarise()

    def run_beside_a_batch(self) -> None:
        """Short queries of 8 clients, alone and beside one client that sends batches of 100 without a pause."""
        seconds = self.plan.load_seconds
        for _ in range(self.plan.mixed_rounds):
            for service in self.ours:
                with self.results.part(f"short queries beside a batch: {service.name}"):
                    alone = checked(load(service, 8, seconds, self.queries))
                    bodies = [service.batch_body(self.long_texts.catalogue()) for _ in range(round(8 * seconds))]
                    batches = RequestSequence(service, service.batch_path, bodies, seconds)
                    try:
                        beside = checked(load(service, 8, seconds, self.queries))
                        batches.finish()
                    finally:
                        batches.stop()
                    self.results.add("beside_batch_ms", service.name, beside.p50 * 1e3)
                    self.results.add("beside_batch_ratio", service.name, beside.p50 / alone.p50)

    def run_scaling(self) -> None:
        """The charts: time against the tokens of one request, requests a second against clients."""
        for service in self.ours:
            with self.results.part(f"tokens in one request: {service.name}"):
                for tokens in self.plan.token_counts:
                    texts = [self.long_texts.request_of(tokens) for _ in range(self.plan.token_repeats + 1)]
                    bodies = [service.batch_body(request) for request in texts]
                    taken = sequence(service, service.batch_path, bodies)[1:]  # the first one warms its shape up
                    self.results.add_point("tokens", service.name, tokens, percentile(taken, 50))
            with self.results.part(f"clients: {service.name}"):
                for clients in self.plan.client_counts:
                    result = checked(load(service, clients, self.plan.client_seconds, self.queries))
                    self.results.add_point("clients", service.name, clients, result.rate)

    def _measure(self, service: Service) -> None:
        name, results = service.name, self.results
        count = self.plan.latency_requests if service.is_ours else self.plan.latency_requests_peers
        taken = self._short(service, count)
        self._latencies.setdefault(name, []).extend(taken)
        p50 = percentile(taken, 50)
        results.add("p50_ms", name, p50 * 1e3)
        if name in self.forwards:
            texts = self.queries.take(self.plan.forwards)
            forward = percentile(self.forwards[name].seconds(texts, p50), 50)
            results.add("forward_ms", name, forward * 1e3)
            results.add("over_forward_ms", name, (p50 - forward) * 1e3)
        before = processor_seconds(service.process.pid)
        sixteen = checked(load(service, CLIENTS, self.plan.load_seconds, self.queries))
        self._count_processor(service, before, sixteen.requests)
        results.add("rate_16", name, sixteen.rate)
        if name in self.forwards:
            forward_rate = self._forward_rate(self.forwards[name])
            results.add("forward_rate_16", name, forward_rate)
            results.add("rate_16_over_forward", name, sixteen.rate / forward_rate)
        results.add("batch_s", name, percentile(self._batches(service, self.plan.batches), 50))
        if service.is_ours:
            many = load(service, 256, self.plan.load_seconds, self.queries)
            results.add("errors_256", name, many.errors)
            results.add("rate_256", name, many.rate)
            results.add("rate_256_over_16", name, many.rate / sixteen.rate)
            checked(many)

    def _forward_rate(self, forward: BareForward) -> float:
        """Queries a second that the bare forward takes, call after call, when each has as many as there are clients."""
        texts = self.queries.take(CLIENTS * self.plan.joined_forwards)
        return CLIENTS / percentile(forward.seconds(texts, 0.0, CLIENTS), 50)

    def _short(self, service: Service, count: int) -> list[float]:
        bodies = [service.single_body(text) for text in self.queries.take(count)]
        return sequence(service, service.single_path, bodies)

    def _batches(self, service: Service, count: int) -> list[float]:
        bodies = [service.batch_body(self.long_texts.catalogue()) for _ in range(count)]
        return sequence(service, service.batch_path, bodies)

    def _count_processor(self, service: Service, before: Mapping[str, float], requests: int) -> None:
        total = self._processor.setdefault(service.name, {})
        for process, seconds in processor_seconds(service.process.pid).items():
            total[process] = total.get(process, 0.0) + seconds - before.get(process, 0.0)
        self._requests[service.name] = self._requests.get(service.name, 0) + requests

    def _summarise(self) -> None:
        for name, taken in self._latencies.items():
            p50, p99 = percentile(taken, 50), percentile(taken, 99)
            self.results.add("requests_one_client", name, len(taken))
            self.results.add("p99_ms", name, p99 * 1e3)
            self.results.add("p99_over_p50", name, p99 / p50)
        for name, seconds in self._processor.items():
            self.results.processor_ms[name] = {
                process: value / self._requests[name] * 1e3 for process, value in sorted(seconds.items())
            }
