"""Our histogram writes what Prometheus' own client writes for the same values."""

import prometheus_client
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from proxy.telemetry.histogram import Histogram

# Else theirs comes with a series that says when it was made.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

BOUNDS = (0.001, 0.5, 1, 100)
VALUES = st.lists(st.sampled_from(BOUNDS) | st.floats(0, 200), max_size=20)


@settings(deadline=None)
@given(values=VALUES)
def test_without_a_label(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("h", "Some.", BOUNDS)
    ours.register(mine)
    oracle = prometheus_client.Histogram("h", "Some.", buckets=BOUNDS, registry=theirs)
    for value in values:
        mine.of().observe(value)
        oracle.observe(value)
    assert generate_latest(ours) == generate_latest(theirs)


@settings(deadline=None)
@given(by_label=st.dictionaries(st.sampled_from(["a", 'b"', "c\n"]), VALUES))
def test_with_a_label(by_label: dict[str, list[float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("h", "Some.", BOUNDS, label="stage")
    ours.register(mine)
    oracle = prometheus_client.Histogram("h", "Some.", ["stage"], buckets=BOUNDS, registry=theirs)
    for label, values in by_label.items():
        oracle.labels(label)
        mine.of(label)
        for value in values:
            mine.of(label).observe(value)
            oracle.labels(label).observe(value)
    assert generate_latest(ours) == generate_latest(theirs)
