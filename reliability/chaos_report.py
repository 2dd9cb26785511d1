"""What the faults of `make chaos` came to, as JSON and as tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reliability import report
from reliability.broken_starts import BrokenStart
from reliability.load import CLIENTS
from reliability.recovery import Recovery
from reliability.sharing import Sharing
from reliability.verdicts import Record, Verdict


@dataclass
class Run:
    """What one service went through."""

    name: str
    record: Record = field(default_factory=Record)
    recoveries: list[Recovery] = field(default_factory=list)
    sharing: Sharing = field(default_factory=Sharing)
    skipped: dict[str, str] = field(default_factory=dict)  # what could not be tried on this machine, and why

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "answers": {verdict.value: count for verdict, count in self.record.counts().items()},
            "right_vectors": self.record.texts,
            "sharing": self.sharing.document(),
            "examples": self.record.examples,
            "skipped": self.skipped,
            "faults": [recovery.document() for recovery in self.recoveries],
        }


def summarize(
    runs: Sequence[Run], starts: Sequence[BrokenStart], deadline_seconds: float, seconds: float
) -> dict[str, Any]:
    """The JSON of a run."""
    violations = [
        f"{run.name}, {each.name}: {what}" for run in runs for each in run.recoveries for what in each.violations
    ]
    violations += [f"start, {start.name}: {what}" for start in starts for what in start.violations]
    counts = {verdict.value: sum(run.record.counts()[verdict] for run in runs) for verdict in Verdict}
    computed = runs[0]
    shared = computed.record.counts()[Verdict.RIGHT] - computed.sharing.calls
    if shared <= 0:
        violations.append("no answers shared an execution: that none is mixed up was not tried")
    totals = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    sharing = computed.sharing
    summary = (
        f"{CLIENTS} clients, deadline {deadline_seconds:g} s. Answers: {totals}. Without the cache, "
        f"{computed.record.counts()[Verdict.RIGHT]:,} right answers came from {sharing.calls:,} calls to Triton, whose "
        f"{sharing.executions:,} executions of the encoder held {sharing.texts:,} texts: {max(shared, 0):,} answers at "
        "least shared one with another request."
    )
    return {
        "seconds": seconds,
        "summary": summary,
        "violations": violations,
        "answers": counts,
        "runs": [run.document() for run in runs],
        "starts": [start.document() for start in starts],
    }


def fault_table(run: Run) -> list[list[str]]:
    """A line for each fault, what came again put together: sums of answers, the longest times."""
    shown = [verdict.value for verdict in Verdict]
    lines = [[run.name, "times", *shown, "first right, s", "steady, s", "allowed, s"]]
    for name in dict.fromkeys(recovery.name for recovery in run.recoveries):
        each = [recovery for recovery in run.recoveries if recovery.name == name]
        counts = [f"{sum(recovery.counts.get(verdict, 0) for recovery in each):,}" for verdict in shown]
        longest = [
            report.seconds(_longest([getattr(recovery, figure) for recovery in each]))
            for figure in ("first_right", "steady")
        ]
        lines.append([name, str(len(each)), *counts, *longest, f"{each[0].back_seconds:g}"])
    empty = [""] * (len(lines[0]) - 2)
    return lines + [[name, f"skipped: {why}", *empty] for name, why in run.skipped.items()]


def start_table(starts: Sequence[BrokenStart]) -> list[list[str]]:
    """A line for each broken file."""
    return [
        ["start with", "seconds until it ended", "what it said"],
        *([start.name, report.seconds(start.seconds), start.said] for start in starts),
    ]


def _longest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def sentence(recovery: Recovery) -> str:
    """What one fault came to, in a line."""
    counts = ", ".join(f"{count} {name}" for name, count in recovery.counts.items())
    times = (
        f"first right after {report.seconds(recovery.first_right)} s, steady after {report.seconds(recovery.steady)} s"
    )
    return "; ".join([counts, times, *(f"VIOLATION {what}" for what in recovery.violations)])
