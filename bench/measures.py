"""The rows of the table: what is measured, in which unit, and the least that the project asks of it."""

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench import peers


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
    """One row. With `against`, what counts is the ratio to that service, more than 1 where ours is better.

    `asked_of`: the model alone that the target is for; None: every one.
    """

    key: str
    label: str
    unit: str
    digits: int = 1
    less_is_better: bool = True
    against: str | None = None
    target: Target | None = None
    asked_of: str | None = None

    @property
    def is_ratio(self) -> bool:
        """Whether it can be compared over processors: what it tells is how many times better, not how fast."""
        return self.against is not None or self.key == "rate_16_over_forward"

    @property
    def is_against_peer(self) -> bool:
        return self.against in peers.NAMES


def at_least(float_bound: float | None, int8_bound: float | None) -> Target:
    return Target("≥", float_bound, int8_bound)


def at_most(float_bound: float | None, int8_bound: float | None) -> Target:
    return Target("≤", float_bound, int8_bound)


_QUERY = Measure("p50_ms", "one short query, one client, p50", "ms", against="baseline", target=at_least(3, 3.5))
_CLIENTS = Measure("rate_16", "short queries, 16 clients", "requests/s", 0, False, "baseline", at_least(7, 10))
_BATCH = Measure("batch_s", "100 texts of mixed length", "s", 2, True, "baseline", at_least(3.5, 7))

MEASURES = (
    _QUERY,
    _CLIENTS,
    _BATCH,
    *(
        replace(measure, label=f"{measure.label}, against {peer}", against=peer, target=at_least(least, least))
        for peer in peers.NAMES
        for measure, least in ((_QUERY, 1), (_CLIENTS, 2), (_BATCH, 2))
    ),
    Measure("forward_rate_16", "bare forward, calls of 16 short queries", "queries/s", 0, False),
    Measure("rate_16_over_forward", "16 clients ÷ what the bare forward gives", "", 2, False, None, at_least(0.8, 0.8)),
    Measure("forward_ms", "bare forward at the same pace, p50", "ms"),
    Measure("over_forward_ms", "one short query less the bare forward", "ms", target=at_most(1.4, 1.4)),
    Measure("p99_ms", "one short query, one client, p99", "ms"),
    Measure("p99_over_p50", "one client: p99 ÷ p50", "", 2, target=at_most(3, 3)),
    Measure("ready_s", "start to ready", "s", target=at_most(6, None)),
    Measure("first_over_p50", "first request after ready ÷ p50", "", 2, target=at_most(2, 2)),
    Measure(
        *("memory_mb", "memory of all processes (PSS)", "MB", 0),
        target=at_most(700, 600),
        asked_of="multilingual-e5-small",  # it has real weights and a real vocabulary
    ),
    Measure("memory_after", "… after so many requests", "", 0),
    Measure("rate_256", "short queries, 256 clients", "requests/s", 0, False),
    Measure("rate_256_over_16", "256 clients ÷ 16 clients", "", 2, False, target=at_least(0.9, 0.9)),
    Measure("errors_256", "errors with 256 clients", "", 0, target=at_most(0, 0)),
    Measure("beside_batch_ms", "short queries, 8 clients beside a batch of 100, p50", "ms"),
    Measure("beside_batch_ratio", "… ÷ the same with no batch", "", 2, target=at_most(3, 3)),
    Measure("zipf_rate", "Zipf query log, cache on, 16 clients", "requests/s", 0, False),
    Measure("zipf_p50_ms", "Zipf query log, cache on, one client, p50", "ms", 2),
    Measure("hit_p50_ms", "a hit of the cache, one client, p50", "ms", 2, target=at_most(0.12, 0.12)),
)
PROXY = at_most(0.18, 0.18)  # milliseconds of the proxy's processor time for a short query of 16 clients


def of_model(model: str) -> tuple[Measure, ...]:
    """The rows of a model's results; a target that is asked of another model alone is left out."""
    return tuple(replace(one, target=None) if one.asked_of not in (None, model) else one for one in MEASURES)
