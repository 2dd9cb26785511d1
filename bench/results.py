"""What a run has measured: samples by measure and service, curves, processor time, and what failed."""

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.statistics import Spread, spread


@dataclass
class Results:
    """Filled by the parts, one after another; a part that fails leaves the others' samples as they are."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # measure, service, one a round
    curves: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)  # curve, service, points
    processor_ms: dict[str, dict[str, float]] = field(default_factory=dict)  # service, process, a request
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # on peers that took no part, or failed
    _started: float = field(default_factory=time.monotonic)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Results":
        """Those of a run's JSON."""
        return cls(
            samples=document["samples"],
            curves=document["curves"],
            processor_ms=document["processor_ms_per_request"],
            failures=document["failures"],
            notes=document.get("notes", []),
        )

    def add(self, measure: str, service: str, value: float) -> None:
        """One round's value."""
        self.samples.setdefault(measure, {}).setdefault(service, []).append(value)

    def add_point(self, curve: str, service: str, x: float, y: float) -> None:
        """One point of a chart."""
        self.curves.setdefault(curve, {}).setdefault(service, []).append((x, y))

    def spread(self, measure: str, service: str) -> Spread | None:
        """None where that was not measured."""
        values = self.samples.get(measure, {}).get(service)
        return spread(values) if values else None

    def ratio(self, measure: str, over: str, under: str) -> Spread | None:
        """`over` divided by `under`, round by round; None where one of them was not measured.

        Where the two were not measured equally often, only the ratio of their medians is known.
        """
        of = self.samples.get(measure, {})
        if not of.get(over) or not of.get(under):
            return None
        if len(of[over]) != len(of[under]):
            value = spread(of[over]).median / spread(of[under]).median
            return Spread(value, value, value)
        return spread([a / b for a, b in zip(of[over], of[under], strict=True)])

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    @contextmanager
    def part(self, name: str, optional: bool = False) -> Iterator[None]:
        """Says that a part begins; an exception in it is noted and printed, and the run goes on.

        `optional`: it is no failure of the run.
        """
        print(f"[{self.elapsed:4.0f} s] {name}", flush=True)
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            (self.notes if optional else self.failures).append(f"{name}: {type(error).__name__}: {error}")
