"""What grew from the end of the first tenth of a run to its last."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from reliability.resources import Sample

MEMORY_GROWTH = 0.02  # of resident memory


@dataclass(frozen=True)
class Trend:
    """Medians of the second tenth and of the last, in bytes or pieces."""

    name: str
    first: float
    last: float
    is_memory: bool
    judged: bool = True

    @property
    def violation(self) -> str:
        """What is wrong with it; empty where nothing is."""
        grew = self.last >= self.first * (1 + MEMORY_GROWTH) if self.is_memory else self.last > self.first
        if not self.judged or not grew or self.last == self.first:
            return ""
        return f"{self.name} grew from {self.shown(self.first)} to {self.shown(self.last)}"

    @property
    def growth(self) -> str:
        """As a share of what it was."""
        return f"{(self.last / self.first - 1) * 100:+.1f} %" if self.first else f"{self.last:+g}"

    def shown(self, value: float) -> str:
        """A value with its unit."""
        return f"{value / 2**20:.1f} MiB" if self.is_memory else f"{value:g}"


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Resident memory and descriptors of each process, and shared memory. The rest is told, and judged by nothing."""
    found = []
    for name in samples[-1].processes:
        held = [sample.processes[name] for sample in samples]
        found += [
            _trend(f"{name}: resident", [each.rss for each in held], is_memory=True),
            _trend(f"{name}: of it, own pages", [each.anonymous for each in held], is_memory=True, judged=False),
            _trend(f"{name}: PSS", [each.pss for each in held], is_memory=True, judged=False),
            _trend(f"{name}: descriptors", [each.descriptors for each in held], is_memory=False),
        ]
    return [
        *found,
        _trend("segments in /dev/shm", [sample.segments for sample in samples], is_memory=False),
        _trend("their size", [sample.segment_bytes for sample in samples], is_memory=True),
    ]


def _trend(name: str, values: Sequence[float], is_memory: bool, judged: bool = True) -> Trend:
    tenth = max(1, len(values) // 10)
    return Trend(name, median(values[tenth : 2 * tenth]), median(values[-tenth:]), is_memory, judged)
