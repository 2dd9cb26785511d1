"""The rows of the table: what is measured, in which unit, and the least that the project asks of it."""

import operator
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A bound for the float precision and one for int8; None where nothing is asked."""

    sign: str  # "≥" or "≤"
    float_bound: float | None
    int8_bound: float | None

    def bound(self, precision: str) -> float | None:
        return self.int8_bound if precision == "int8" else self.float_bound

    def met(self, precision: str, value: float) -> bool | None:
        """None where nothing is asked."""
        bound = self.bound(precision)
        compare: Callable[[float, float], bool] = operator.ge if self.sign == "≥" else operator.le
        return None if bound is None else compare(value, bound)


@dataclass(frozen=True)
class Measure:
    """One row. With `against`, what counts is the ratio to that service, more than 1 where ours is better."""

    key: str
    label: str
    unit: str
    digits: int = 1
    less_is_better: bool = True
    against: str | None = None
    target: Target | None = None


def at_least(float_bound: float | None, int8_bound: float | None) -> Target:
    return Target("≥", float_bound, int8_bound)


def at_most(float_bound: float | None, int8_bound: float | None) -> Target:
    return Target("≤", float_bound, int8_bound)


MEASURES = (
    Measure("p50_ms", "one short query, one client, p50", "ms", against="baseline", target=at_least(3, 4.5)),
    Measure("rate_16", "short queries, 16 clients", "requests/s", 0, False, "baseline", at_least(6, 9)),
    Measure("batch_s", "100 texts of mixed length", "s", 2, True, "baseline", at_least(3.5, 6)),
    Measure(
        "rate_16", "short queries, 16 clients, against infinity", "requests/s", 0, False, "infinity", at_least(3, 4.5)
    ),
    Measure("batch_s", "100 texts of mixed length, against infinity", "s", 2, True, "infinity", at_least(1.7, 3)),
    Measure("forward_ms", "bare forward at the same pace, p50", "ms"),
    Measure("over_forward_ms", "one short query less the bare forward", "ms", target=at_most(2, 2)),
    Measure("p99_ms", "one short query, one client, p99", "ms"),
    Measure("p99_over_p50", "one client: p99 ÷ p50", "", 2, target=at_most(3, 3)),
    Measure("ready_s", "start to ready", "s", target=at_most(6, None)),
    Measure("first_over_p50", "first request after ready ÷ p50", "", 2, target=at_most(2, 2)),
    Measure("memory_mb", "memory of all processes (PSS)", "MB", 0, target=at_most(900, 800)),
    Measure("memory_after", "… after so many requests", "", 0),
    Measure("rate_256", "short queries, 256 clients", "requests/s", 0, False),
    Measure("rate_256_over_16", "256 clients ÷ 16 clients", "", 2, False, target=at_least(0.9, 0.9)),
    Measure("errors_256", "errors with 256 clients", "", 0, target=at_most(0, 0)),
    Measure("beside_batch_ms", "short queries, 8 clients beside a batch of 100, p50", "ms"),
    Measure("beside_batch_ratio", "… ÷ the same with no batch", "", 2, target=at_most(3, 3)),
    Measure("zipf_rate", "Zipf query log, cache on, 16 clients", "requests/s", 0, False),
    Measure("zipf_p50_ms", "Zipf query log, cache on, one client, p50", "ms", 2),
    Measure("hit_p50_ms", "a hit of the cache, one client, p50", "ms", 2, target=at_most(1, 1)),
)
