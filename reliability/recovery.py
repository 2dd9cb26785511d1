"""What one fault cost the clients, and how long until all was well again."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reliability.faults import Fault, FaultFailed
from reliability.verdicts import Outcome, Record, Verdict

_CALM_SECONDS = 1.5  # of right answers alone, before the next fault
_PATIENCE_SECONDS = 5.0  # past the time that is allowed, to see how long it really takes


@dataclass(frozen=True)
class Recovery:
    """The answers from one fault to the next. Seconds count from the end of the cause; None: it never came."""

    name: str
    back_seconds: float
    counts: dict[str, int]
    first_right: float | None
    steady: float | None  # after the last answer that was not right
    violations: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "fault": self.name,
            "answers": self.counts,
            "first_right_seconds": self.first_right,
            "steady_seconds": self.steady,
            "allowed_seconds": self.back_seconds,
            "violations": list(self.violations),
        }


async def endure(fault: Fault, record: Record) -> Recovery:
    """Injects the fault and waits until right answers alone come, or for longer than it may take."""
    injected = time.monotonic()
    failure = ""
    try:
        await fault.inject()
    except FaultFailed as error:
        failure = str(error)
    over = time.monotonic()
    while time.monotonic() - over < fault.back_seconds + _PATIENCE_SECONDS:
        await asyncio.sleep(0.1)
        if is_calm(record.outcomes, over):
            break
    outcomes = [outcome for outcome in record.outcomes if outcome.finished >= injected]
    return assess(fault, outcomes, over, failure)


def is_calm(outcomes: Sequence[Outcome], over: float) -> bool:
    """Whether right answers alone came for a while, all of it after the time `over`."""
    since = time.monotonic() - _CALM_SECONDS
    latest = [outcome for outcome in outcomes[-10_000:] if outcome.finished >= since]
    return since >= over and bool(latest) and all(outcome.verdict is Verdict.RIGHT for outcome in latest)


def assess(fault: Fault, outcomes: Sequence[Outcome], over: float, failure: str = "") -> Recovery:
    """Judges the outcomes since the fault, which was `over` at that time."""
    counts = dict.fromkeys(Verdict, 0)
    for outcome in outcomes:
        counts[outcome.verdict] += 1
    after = [outcome for outcome in outcomes if outcome.finished >= over]
    right = [outcome.finished - over for outcome in after if outcome.verdict is Verdict.RIGHT]
    bad = [outcome.finished - over for outcome in after if outcome.verdict is not Verdict.RIGHT]
    last_bad = max(bad, default=0.0)
    steady = min((seconds for seconds in right if seconds >= last_bad), default=None)
    forbidden = [verdict for verdict in Verdict if verdict.is_never_right]
    if not fault.proxy_away:
        forbidden += [Verdict.REFUSED, Verdict.CUT]
    if fault.harmless:
        forbidden.append(Verdict.CLEAN)
    violations = [f"{counts[verdict]} {verdict.value}" for verdict in forbidden if counts[verdict]]
    if steady is None or steady > fault.back_seconds:
        violations.append(f"not back within {fault.back_seconds:g} s")
    return Recovery(
        name=fault.name,
        back_seconds=fault.back_seconds,
        counts={verdict.value: count for verdict, count in counts.items() if count},
        first_right=min(right, default=None),
        steady=steady,
        violations=(*violations, *([failure] if failure else [])),
    )
