"""The tables of `make where-time-goes`, in Markdown."""

from collections.abc import Iterable, Mapping

from bench.kernel_counts import Counts, total
from bench.parts import Watched
from bench.report import as_markdown, number

_KERNEL = ("processor, ms", "run delay, ms", "wake-ups", "preemptions")


def of_parts(one: Mapping[str, float], sixteen: Mapping[str, float]) -> str:
    """Milliseconds of each part, and their sum: what a client waits."""
    lines = [[part, _ms(one[part]), _ms(sixteen[part])] for part in one]
    lines.append(["**what a client waits**", _ms(sum(one.values())), _ms(sum(sixteen.values()))])
    return as_markdown([["part of a query's time, mean, ms", "one client", "16 clients"], *lines])


def of_processes(one: Watched, sixteen: Watched) -> str:
    """For one query: what each process used, waited for, and how often it was woken or preempted."""
    lines = [["for one query", *_KERNEL, *(f"{name}, 16 clients" for name in _KERNEL)]]
    for name in one.processes:
        lines.append([name, *_cells(one.processes[name]), *_cells(sixteen.processes[name])])
    lines.append(["all", *(cell for each in (one, sixteen) for cell in _cells(total(each.processes)))])
    return as_markdown(lines)


def of_forwards(pauses: Iterable[tuple[float, ...]]) -> str:
    """Pause, wall time and processor time of the encoder's forward of one text alone."""
    lines = [[_ms(seconds) for seconds in each] for each in pauses]
    return as_markdown([["pause before the bare forward, ms", "wall time, ms", "processor time, ms"], *lines])


def _cells(counts: Counts) -> list[str]:
    processor, run_delay, wake_ups, preemptions = counts.tolist()
    return [_ms(processor), _ms(run_delay), number(wake_ups, 1), number(preemptions, 1)]


def _ms(seconds: float) -> str:
    return number(seconds * 1e3, 2)
