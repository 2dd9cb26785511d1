"""What is measured while a service runs alone: its start, its first request, its memory, a repeating query log."""

import math
from contextlib import ExitStack

from bench import peers
from bench.load import checked, load, sequence
from bench.plan import Plan
from bench.processes import proportional_memory
from bench.results import Results
from bench.services import Service, Subject, running
from bench.statistics import percentile
from bench.texts import Queries, zipf_log

LOG_RATE = 7_000  # requests for each second of load: more than one proxy answers, so that no log starts over


def measure_alone(subject: Subject, name: str, plan: Plan, queries: Queries, results: Results) -> None:
    """Starts the service, measures, stops it. Libraries that another service maps as well would halve its memory."""
    with running(subject, name) as service:
        results.add("ready_s", name, service.ready_seconds)
        first_requests(service, queries, results)
        wanted = plan.memory_requests if service.is_ours else plan.memory_requests_peers
        done = 0
        seconds = 1
        while done < wanted:
            result = checked(load(service, 16, seconds, queries))
            done += result.requests
            seconds = min(10, math.ceil(max(1, wanted - done) / result.rate))
        results.add("memory_mb", name, proportional_memory(service.process.pid) / 1e6)
        results.add("memory_after", name, done)


def first_requests(service: Service, queries: Queries, results: Results) -> None:
    """The first request after the service said that it is ready, and its ratio to the hundred after it."""
    bodies = [service.single_body(text) for text in queries.take(101)]
    count = 101 if service.is_ours else 21
    seconds = sequence(service, service.single_path, bodies[:count])
    results.add("first_ms", service.name, seconds[0] * 1e3)
    results.add("first_over_p50", service.name, seconds[0] / percentile(seconds[1:], 50))


def measure_cache(subject: Subject, name: str, plan: Plan, queries: Queries, results: Results) -> None:
    """A Zipf-distributed query log on a service with its text cache on."""
    texts = queries.take(plan.log_texts)
    with running(subject, name, CACHE_MB="64") as service:
        path = service.single_path
        sequence(service, path, [service.single_body(text) for text in queries.take(plan.warm_up)])
        log = list(zipf_log(texts, plan.log_requests + LOG_RATE * plan.log_seconds))
        seconds = sequence(service, path, [service.single_body(text) for text in log[: plan.log_requests]])
        results.add("zipf_p50_ms", name, percentile(seconds, 50) * 1e3)
        result = checked(load(service, 16, plan.log_seconds, queries, log[plan.log_requests :]))
        results.add("zipf_rate", name, result.rate)
        hits = sequence(service, path, [service.single_body(texts[0])] * 500)
        results.add("hit_p50_ms", name, percentile(hits, 50) * 1e3)


def start_all(
    subject: Subject, names: list[str], queries: Queries, results: Results, stack: ExitStack
) -> dict[str, Service]:
    """Starts the services one after another; one that does not start is noted, and the others go on."""
    services: dict[str, Service] = {}
    for name in names:
        with results.part(f"start {name}", optional=name in peers.NAMES):
            service = stack.enter_context(running(subject, name))
            results.add("ready_s", name, service.ready_seconds)
            first_requests(service, queries, results)
            services[name] = service
    return services
