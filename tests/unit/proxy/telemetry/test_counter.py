"""Our counter writes what Prometheus' own client writes for the same counts."""

import prometheus_client
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from proxy.telemetry.counter import Counter

# Else theirs comes with a series that says when it was made.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

COUNTS = st.lists(st.integers(0, 2**40), max_size=20)


@settings(deadline=None)
@given(counts=COUNTS)
def test_without_labels(counts: list[int]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Counter("c", "Some.")
    ours.register(mine)
    oracle = prometheus_client.Counter("c", "Some.", registry=theirs)
    for count in counts:
        mine.add(count)
        oracle.inc(count)
    assert generate_latest(ours) == generate_latest(theirs)


@settings(deadline=None)
@given(counts=st.dictionaries(st.tuples(st.sampled_from(["/a", 'b"', "c\n"]), st.sampled_from([200, 499])), COUNTS))
def test_with_labels(counts: dict[tuple[str, int], list[int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Counter("c", "Some.", ("route", "status"))
    ours.register(mine)
    oracle = prometheus_client.Counter("c", "Some.", ["route", "status"], registry=theirs)
    for (route, status), added in counts.items():
        for count in [0, *added]:
            mine.add(count, (route, status))
            oracle.labels(route, str(status)).inc(count)
    assert generate_latest(ours) == generate_latest(theirs)
