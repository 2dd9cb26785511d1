"""What an overload run came to: the promises that it broke, and the table for the reader."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.statistics import percentile
from reliability import report
from reliability.flood import Answer
from reliability.health_probe import LONGEST_SECONDS, Probe
from reliability.resources import Sample
from reliability.verdicts import Verdict

DEADLINE_SECONDS = 5.0
TIMES = 5
FULL_SPEED = 0.95  # of the answers a second before
BACK_SECONDS = 2.0
REFUSAL_SECONDS = 0.01
MEMORY_GROWTH = 1.1  # the largest of the second half to that of the first, beside what allocators take at the start
MEMORY_START = 32 << 20

_WINDOW_SECONDS = 1.0  # in which a speed is measured


@dataclass
class Overload:
    """What was seen. Times of answers are of one clock; `began` and `ended` are the flood's."""

    before: float  # right answers a second
    rate: float  # requests a second, as planned
    began: float
    ended: float
    flood: list[Answer]
    after: list[Answer]
    inside: list[float]  # seconds of each refusal within the application, by its log
    samples: list[Sample] = field(default_factory=list)
    health: list[Probe] = field(default_factory=list)


def back_after(finished: Sequence[float], ended: float, before: float) -> float | None:
    """Seconds from `ended` to the first window with FULL_SPEED of `before` right answers a second; None for never.

    >>> back_after([0.1 * number for number in range(100)], ended=3.0, before=10.0)
    0.0
    >>> back_after([], ended=3.0, before=10.0)
    """
    enough = FULL_SPEED * before * _WINDOW_SECONDS
    last = max(finished, default=ended)
    step = 0.1
    for number in range(int((last - ended) / step)):
        since = ended + number * step
        if sum(since <= at < since + _WINDOW_SECONDS for at in finished) >= enough:
            return round(number * step, 1)
    return None


def summarize(seen: Overload, judge_times: bool = True) -> dict[str, Any]:
    """The JSON of a run; its `violations` are sentences. Without `judge_times`, times are told alone."""
    accepted = [answer.finished - answer.sent for answer in seen.flood if answer.status in (200, 504)]
    refused = [answer.finished - answer.sent for answer in seen.flood if answer.status == 503]
    counts = Counter(answer.verdict for answer in [*seen.flood, *seen.after])
    sent = [answer.sent for answer in seen.flood]
    sent_rate = len(sent) / (max(sent) - seen.began)
    right = [answer.finished for answer in [*seen.flood, *seen.after] if answer.verdict is Verdict.RIGHT]
    during = sum(seen.began <= at < seen.ended for at in right) / (seen.ended - seen.began)
    back = back_after([at for at in right if at >= seen.ended], seen.ended, seen.before)
    violations = [f"{counts[verdict]} {verdict.value}" for verdict in counts if verdict not in _ALLOWED]
    if sent_rate < FULL_SPEED * seen.rate:
        violations.append(f"only {sent_rate:.0f} requests a second were sent in place of {seen.rate:.0f}")
    if not accepted:
        violations.append("nothing was taken on")
    elif judge_times and percentile(accepted, 99) > DEADLINE_SECONDS:
        violations.append("p99 of what was taken on was over the deadline")
    if not refused or not seen.inside:
        violations.append("nothing was refused: it was no overload")
    elif judge_times and percentile(seen.inside, 99) > REFUSAL_SECONDS:
        violations.append(f"p99 of a refusal was {percentile(seen.inside, 99) * 1000:.1f} ms in the service")
    if judge_times and (back is None or back > BACK_SECONDS):
        violations.append(f"full speed was not back within {BACK_SECONDS:g} s, but after {report.seconds(back)} s")
    health = [probe.seconds for probe in seen.health]
    if unwell := sum(probe.status != 200 for probe in seen.health):
        violations.append(f"{unwell} of {len(health)} questions for health were not answered 200")
    if judge_times and health and percentile(health, 99) > LONGEST_SECONDS:
        violations.append(f"p99 of an answer for health was {percentile(health, 99) * 1000:.0f} ms")
    memory = _memory(seen.samples)
    violations += [
        f"{name} grew from {first >> 20} to {second >> 20} MiB"
        for name, (_, first, second) in memory.items()
        if second > MEMORY_GROWTH * first + MEMORY_START
    ]
    return {
        "before": seen.before,
        "sent": len(sent),
        "sent_a_second": sent_rate,
        "right_a_second_meanwhile": during,
        "answers": {verdict.value: count for verdict, count in counts.items()},
        "late": sum(answer.status == 504 for answer in seen.flood),
        "accepted": _spread(accepted),
        "refused": _spread(refused),
        "refused_inside": _spread(seen.inside),
        "sent_late": _spread([answer.sent - answer.due for answer in seen.flood]),
        "back_seconds": back,
        "health": _spread(health),
        "rss": {name: {"before": at, "first_half": one, "second_half": two} for name, (at, one, two) in memory.items()},
        "examples": [answer.about for answer in seen.flood if answer.about][:5],
        "violations": violations,
    }


_ALLOWED = (Verdict.RIGHT, Verdict.CLEAN)


def _memory(samples: Sequence[Sample]) -> dict[str, tuple[int, int, int]]:
    """By process: resident bytes at the start, and the most of each half."""
    half = len(samples) // 2
    found = {}
    for name in samples[0].processes:
        rss = [sample.processes[name].rss for sample in samples if name in sample.processes]
        found[name] = (rss[0], max(rss[: half + 1]), max(rss[half:]))
    return found


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Count, and seconds."""
    if not values:
        return {"count": 0}
    return {"count": len(values), **{f"p{p}": percentile(values, p) for p in (50, 99)}, "max": max(values)}


def table(document: dict[str, Any]) -> list[list[str]]:
    """A line for each promise."""

    def times(name: str) -> str:
        found = document[name]
        if not found["count"]:
            return "none"
        p50, p99, most = (f"{found[each] * 1000:,.1f}" for each in ("p50", "p99", "max"))
        return f"{found['count']:,}: {p50}, {p99}, {most} ms"

    memory = "; ".join(
        f"{name} {each['before'] >> 20}, {each['first_half'] >> 20}, {each['second_half'] >> 20}"
        for name, each in document["rss"].items()
    )
    answers = ", ".join(f"{count:,} {name}" for name, count in document["answers"].items())
    return [
        ["overload", "seen", "allowed"],
        ["right answers a second before", f"{document['before']:,.0f}", ""],
        ["requests sent a second", f"{document['sent_a_second']:,.0f}", f"{TIMES} times that"],
        ["right answers a second meanwhile", f"{document['right_a_second_meanwhile']:,.0f}", ""],
        ["answers", answers, "right, or clean 503 and 504"],
        ["taken on: p50, p99, longest", times("accepted"), f"p99 {DEADLINE_SECONDS:g} s"],
        ["of these late (504)", f"{document['late']:,}", ""],
        ["refused, for the client", times("refused"), ""],
        ["refused, in the service", times("refused_inside"), f"p99 {REFUSAL_SECONDS * 1000:g} ms"],
        ["health, from a new connection", times("health"), f"p99 {LONGEST_SECONDS * 1000:g} ms"],
        ["sent later than planned", times("sent_late"), ""],
        ["resident MiB before, in each half", memory, f"{MEMORY_GROWTH:g} of the first half and {MEMORY_START >> 20}"],
        ["full speed again after", f"{report.seconds(document['back_seconds'])} s", f"{BACK_SECONDS:g} s"],
    ]


def summary(document: dict[str, Any]) -> str:
    """One sentence."""
    requests = f"{document['sent']:,} requests, {TIMES} times as many a second as are carried"
    return f"{requests}; deadline {DEADLINE_SECONDS:g} s."
