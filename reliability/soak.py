"""`python -m reliability.soak`: mixed load for a long time, and what grows meanwhile.

What `make soak` calls. Exit code 1 on any violation.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.statistics import percentile
from reliability import report
from reliability.corpus import learn
from reliability.load import load
from reliability.resources import Sample, orphans, read
from reliability.stack import NotRunning, Stack, running
from reliability.trends import Trend, trends
from reliability.verdicts import Record, Verdict

SAMPLE_SECONDS = 5.0
DEADLINE_SECONDS = 30.0
TEXTS = 1_000
CACHE_MB = 1  # full within the warm-up, so that it drops as many texts as it takes
SLOWER = 1.5  # p99 of the last tenth to that of the first


@dataclass(frozen=True)
class Plan:
    """Seconds of the same load: before anything is counted, while caches and allocators fill; and counted.

    A slow machine warms up for longer, until as much was asked: each first text of its length takes memory.
    """

    warm_up: float
    counted: float
    warm_up_answers: int = 4_000
    longest_warm_up: float = 300
    judges_p99: bool = True  # else it is told alone: in tenths of some seconds it is the machine's other work


FULL = Plan(warm_up=60, counted=1_800)
# A short run begins where the long one is after its first tenths: what is touched for the first time then is no leak.
SHORT = Plan(warm_up=80, counted=80, warm_up_answers=15_000, judges_p99=False)


@dataclass(frozen=True)
class Run:
    """What was seen."""

    record: Record
    samples: list[Sample]
    first_p99: float
    last_p99: float
    left: set[str]  # in /dev/shm after the stop
    judges_p99: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 on a violation, and where the service did not start."""
    parser = argparse.ArgumentParser(prog="python -m reliability.soak", description="Loads the service for long.")
    parser.add_argument("--short", action="store_true", help="some five minutes; writes build/reliability/ alone")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        run = soak(SHORT if options.short else FULL)
    except NotRunning as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    found = trends(run.samples)
    document = summarize(run, found, time.monotonic() - started)
    report.publish("soak", options.short, document, [table(found)])
    return 1 if document["violations"] else 0


def soak(plan: Plan) -> Run:
    """Loads a service of its own, and stops it. Raises `NotRunning`."""
    seconds = plan.counted
    with running("soak", CACHE_MB=str(CACHE_MB), DEADLINE_SECONDS=f"{DEADLINE_SECONDS:g}") as stack:
        before = stack.shared_memory()
        record, samples, answered = asyncio.run(_load(stack, plan))
    return Run(
        record,
        samples,
        first_p99=_p99(answered, 0.0, seconds / 10),
        last_p99=_p99(answered, seconds - seconds / 10, seconds),
        left=orphans(before),
        judges_p99=plan.judges_p99,
    )


async def _load(stack: Stack, plan: Plan) -> tuple[Record, list[Sample], list[tuple[float, float]]]:
    """What became of the requests, the samples, and for each right answer when it came and the seconds it took."""
    corpus = await asyncio.to_thread(learn, stack.url, TEXTS)
    record = Record()
    samples: list[Sample] = []
    answered: list[tuple[float, float]] = []  # when by the monotonic clock
    async with load(
        stack.url,
        corpus,
        DEADLINE_SECONDS,
        record,
        on_answer=lambda taken: answered.append((time.monotonic(), taken)),
    ):
        await _warm_up(plan, answered)
        started = time.monotonic()
        while (at := time.monotonic() - started) < plan.counted:
            samples.append(await asyncio.to_thread(read, stack, at))
            latest = samples[-1]
            resident = sum(process.rss for process in latest.processes.values()) >> 20
            print(f"{at:5.0f} s: {resident} MiB, {latest.segments} segments, {len(answered):,} answers", flush=True)
            await asyncio.sleep(min(SAMPLE_SECONDS, max(0.0, plan.counted - (time.monotonic() - started))))
    return record, samples, [(at - started, taken) for at, taken in answered]


async def _warm_up(plan: Plan, answered: Sequence[object]) -> None:
    began = time.monotonic()
    await asyncio.sleep(plan.warm_up)
    while len(answered) < plan.warm_up_answers and time.monotonic() < began + plan.longest_warm_up:
        await asyncio.sleep(1)
    print(f"warm after {time.monotonic() - began:.0f} s and {len(answered):,} answers", flush=True)


def _p99(answered: Sequence[tuple[float, float]], since: float, until: float) -> float:
    """Seconds. Raises `NotRunning` where nothing was answered."""
    taken = [seconds for at, seconds in answered if since <= at < until]
    if not taken:
        raise NotRunning(f"Nothing was answered from second {since:.0f} to {until:.0f}.")
    return percentile(taken, 99)


def summarize(run: Run, found: Sequence[Trend], seconds: float) -> dict[str, Any]:
    """The JSON of a run."""
    counts = run.record.counts()
    violations = [trend.violation for trend in found if trend.violation]
    violations += [f"{counts[verdict]} answers {verdict.value}" for verdict in counts if verdict is not Verdict.RIGHT]
    if run.judges_p99 and run.last_p99 > SLOWER * run.first_p99:
        violations.append(f"p99 rose from {run.first_p99 * 1000:.0f} to {run.last_p99 * 1000:.0f} ms")
    if run.left:
        violations.append(f"{len(run.left)} segments were left in /dev/shm")
    return {
        "seconds": seconds,
        "summary": (
            f"{counts[Verdict.RIGHT]:,} right answers. p99 was {run.first_p99 * 1000:.0f} ms in the first tenth and "
            f"{run.last_p99 * 1000:.0f} ms in the last{'' if run.judges_p99 else ' (not judged)'}; "
            f"{len(run.left)} segments were left in /dev/shm after the stop."
        ),
        "violations": violations,
        "answers": {verdict.value: count for verdict, count in counts.items()},
        "examples": run.record.examples,
        "p99_seconds": {"first_tenth": run.first_p99, "last_tenth": run.last_p99},
        "trends": [asdict(trend) for trend in found],
        "samples": [asdict(sample) for sample in run.samples],
    }


def table(found: Sequence[Trend]) -> list[list[str]]:
    """A line for each thing that must not grow."""
    lines = [["what", "end of the first tenth", "last tenth", "growth"]]
    return lines + [[trend.name, trend.shown(trend.first), trend.shown(trend.last), trend.growth] for trend in found]


if __name__ == "__main__":
    sys.exit(main())
