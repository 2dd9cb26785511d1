"""A histogram for Prometheus that one thread alone observes and collects: no lock, no walk over its buckets."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Distribution:
    """How often a value was at most each of `bounds`, which ascend, and the sum of all values."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)  # of each bucket alone; the last one has no bound
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Its samples, as Prometheus counts: each bucket holds those below it, too."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        buckets = list(zip(names, map(float, accumulate(self._counts)), strict=True))
        family.add_metric(labels, buckets=buckets, sum_value=self._sum)


class Histogram(Collector):
    """A distribution for each value of the label `label`, or one distribution where it has none."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], label: str | None = None) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = bounds
        self._labels = [] if label is None else [label]
        self._distributions: dict[str, Distribution] = {} if label else {"": Distribution(bounds)}

    def of(self, value: str = "") -> Distribution:
        """The distribution of one value of the label."""
        if (known := self._distributions.get(value)) is None:
            known = self._distributions[value] = Distribution(self._bounds)
        return known

    def collect(self) -> Iterable[Metric]:
        """All of them, as one family."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for value, distribution in self._distributions.items():
            distribution.add_to(family, [value] if self._labels else [])
        yield family
