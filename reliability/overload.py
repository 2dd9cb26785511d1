"""`python -m reliability.overload`: five times the load that the service can carry, and what it answers.

What `make overload` calls. Exit code 1 on any violation.
"""

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from bench.statistics import percentile
from reliability import report
from reliability.corpus import Corpus, learn
from reliability.flood import Answer, carry, flood
from reliability.health_probe import LONGEST_SECONDS, Probe, probing
from reliability.resources import Sample, read
from reliability.stack import NotRunning, Stack, running
from reliability.verdicts import Verdict

DEADLINE_SECONDS = 5.0
TIMES = 5
PROCESSES = 2  # that send; one would have to fight for its turn on the processor with the service
CLIENTS = 32  # whose answers tell what the service can carry
FULL_SPEED = 0.95  # of the answers a second before
BACK_SECONDS = 2.0
REFUSAL_SECONDS = 0.01
MEMORY_GROWTH = 1.1  # the largest of the second half to that of the first, beside what allocators take at the start
MEMORY_START = 32 << 20

_TEXTS = 300
_WINDOW_SECONDS = 1.0  # in which a speed is measured
_LEAD_SECONDS = 2.0  # until the processes are up
_REFUSAL = re.compile(rb" 503 ([\d.]+) ms .*as many texts in hand")


@dataclass(frozen=True)
class Plan:
    """Seconds: of the measuring before and after, and of the flood."""

    carried: float
    flood: float


FULL = Plan(carried=10, flood=60)
SHORT = Plan(carried=4, flood=10)


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


def overload(stack: Stack, corpus: Corpus, plan: Plan) -> Overload:
    """Measures, floods and measures again. The service has no cache."""
    with ProcessPoolExecutor(2 * PROCESSES, get_context("spawn")) as pool:

        def start(load: Any, amount: float, begin: float, seconds: float) -> list[Any]:
            return [
                pool.submit(load, stack.url, corpus, DEADLINE_SECONDS, seed, amount, begin, begin + seconds)
                for seed in range(PROCESSES)
            ]

        begin = time.monotonic() + _LEAD_SECONDS
        calm = _gather(start(carry, CLIENTS // PROCESSES, begin, plan.carried))
        if {answer.verdict for answer in calm} != {Verdict.RIGHT}:
            raise NotRunning(f"Before the flood not every answer was right: {stack.log}")
        before = len(calm) / (max(answer.finished for answer in calm) - begin)
        rate = TIMES * before
        logged = stack.log.stat().st_size
        begin = time.monotonic() + _LEAD_SECONDS
        end = begin + plan.flood
        sending = start(flood, rate / PROCESSES, begin, plan.flood)
        following = start(carry, CLIENTS // PROCESSES, end, plan.carried)
        seen = Overload(before, rate, begin, end, [], [], [])
        with probing(stack.url) as probes:
            while time.monotonic() < end:
                seen.samples.append(read(stack, time.monotonic() - begin))
                time.sleep(plan.flood / 60)
        seen.health = probes.answers
        seen.flood, seen.after = _gather(sending), _gather(following)
    with stack.log.open("rb") as log:
        log.seek(logged)
        seen.inside = refusals(log)
    return seen


def _gather(loads: Iterable[Any]) -> list[Answer]:
    return [answer for load in loads for answer in load.result()]


def refusals(lines: Iterable[bytes]) -> list[float]:
    """Seconds of each refusal in a proxy's log.

    >>> refusals([b"... POST /api/v1/embed 503 0.4 ms 1 text: The service has as many texts in hand as it takes on."])
    [0.0004]
    """
    return [float(found[1]) / 1000 for line in lines if (found := _REFUSAL.search(line))]


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
    if not accepted or percentile(accepted, 99) > DEADLINE_SECONDS:
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


def run(short: bool) -> dict[str, Any]:
    """A service of its own under overload; the JSON of it. Raises `NotRunning`."""
    with running("overload", CACHE_MB="0", DEADLINE_SECONDS=f"{DEADLINE_SECONDS:g}") as stack:
        try:
            corpus = learn(stack.url, _TEXTS)
        except OSError as error:
            raise NotRunning(f"The service did not answer at rest ({error}): {stack.log}") from error
        return summarize(overload(stack, corpus, SHORT if short else FULL), judge_times=not short)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 on a violation, and where the service did not start."""
    parser = argparse.ArgumentParser(prog="python -m reliability.overload", description="Floods the service.")
    parser.add_argument("--short", action="store_true", help="10 s in place of 60; writes build/reliability/ alone")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        document = run(options.short)
    except NotRunning as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    whole = {"seconds": time.monotonic() - started, "summary": summary(document), **document}
    report.publish("overload", options.short, whole, [table(document)])
    return 1 if document["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
