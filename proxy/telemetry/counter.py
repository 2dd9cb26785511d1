"""A counter for Prometheus that one thread alone adds to and collects: no lock, and no object for each label."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class Counter(Collector):
    """A count for each combination of the labels' values, or one count where it has no labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = ()) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._counts: dict[tuple[object, ...], int] = {} if labels else {(): 0}

    def add(self, count: int = 1, values: tuple[object, ...] = ()) -> None:
        """So many more. `values`: of the labels, in their order."""
        self._counts[values] = self._counts.get(values, 0) + count

    def collect(self) -> Iterable[Metric]:
        """All of them, as one family."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric([str(value) for value in values], count)
        yield family
