"""`python -m reliability.chaos`: faults, one after another, under a service that clients keep asking.

What `make chaos` calls. Exit code 1 on any violation.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reliability import overload, report
from reliability.broken_starts import BrokenStart, try_starts
from reliability.corpus import Corpus, learn
from reliability.faults import (
    BACK_WITH_LOAD_SECONDS,
    Fault,
    connection_faults,
    export_fault,
    kill_launcher,
    process_faults,
)
from reliability.load import CLIENTS, load
from reliability.recovery import Recovery, endure, is_calm
from reliability.relay import Relay
from reliability.sharing import Sharing, watch
from reliability.stack import WORK, NotRunning, Stack, lone_proxy, running
from reliability.verdicts import Record, Verdict

DEADLINE_SECONDS = 5.0
_LONGER_THAN_DEADLINE = 8.0
_REST_SECONDS = 2.0  # of load before the first fault


@dataclass(frozen=True)
class Plan:
    """How much is tried."""

    texts: int  # of which the vectors are known
    answers: int  # right ones of the run without a cache, at least: the faults come again until then
    with_cache: bool  # every fault with the cache, too; else the kills of Triton and the proxy alone


FULL = Plan(texts=1_000, answers=100_000, with_cache=True)
SHORT = Plan(texts=300, answers=0, with_cache=False)


@dataclass
class Run:
    """What one service went through."""

    name: str
    record: Record = field(default_factory=Record)
    recoveries: list[Recovery] = field(default_factory=list)
    sharing: Sharing = field(default_factory=Sharing)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "answers": {verdict.value: count for verdict, count in self.record.counts().items()},
            "right_vectors": self.record.texts,
            "sharing": self.sharing.document(),
            "examples": self.record.examples,
            "faults": [recovery.document() for recovery in self.recoveries],
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 on a violation, and where the service did not start."""
    parser = argparse.ArgumentParser(prog="python -m reliability.chaos", description="Injects faults under load.")
    parser.add_argument("--short", action="store_true", help="about two minutes; writes build/reliability/ alone")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        flooded = overload.run(options.short)
        runs, starts = asyncio.run(try_all(SHORT if options.short else FULL))
    except NotRunning as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    document = summarize(runs, starts, time.monotonic() - started)
    document["overload"] = flooded
    document["violations"] += [f"overload: {what}" for what in flooded["violations"]]
    tables = [*(fault_table(run) for run in runs), start_table(starts), overload.table(flooded)]
    report.publish("chaos", options.short, document, tables)
    return 1 if document["violations"] else 0


async def try_all(plan: Plan) -> tuple[list[Run], list[BrokenStart]]:
    """Everything in turn. Raises `NotRunning`."""
    settings = {"DEADLINE_SECONDS": f"{DEADLINE_SECONDS:g}"}
    with running("chaos", CACHE_MB="0", **settings) as stack:
        corpus = await asyncio.to_thread(learn, stack.url, plan.texts)
        tell(f"{len(corpus.texts)} texts whose vectors are known; {CLIENTS} clients ask for them.")
        processes = Run("processes, no cache")
        faults = process_faults(stack, _LONGER_THAN_DEADLINE)
        await go_through(processes, stack, stack.url, corpus, [*faults, export_fault(stack)], plan.answers)
        between = await disturb_connections(stack, corpus, settings)
    with running("chaos-cache", CACHE_MB="64", **settings) as stack:
        cached = Run("processes, with the cache")
        faults = process_faults(stack, _LONGER_THAN_DEADLINE)
        if not plan.with_cache:
            faults = [fault for fault in faults if fault.name in ("SIGKILL tritonserver", "SIGKILL proxy")]
        await go_through(cached, stack, stack.url, corpus, faults)
    starts = await asyncio.to_thread(lambda: [_told(start) for start in try_starts(corpus)])
    return [processes, between, cached], starts


async def disturb_connections(stack: Stack, corpus: Corpus, settings: dict[str, str]) -> Run:
    """A proxy by itself, with a relay between it and the Triton of `stack`."""
    run = Run("between proxy and Triton")
    relay = Relay(stack.triton_port)
    await relay.listen()
    proxy = lone_proxy(f"http://127.0.0.1:{relay.port}", WORK / "chaos-proxy.log", CACHE_MB="0", **settings)
    url = await asyncio.to_thread(proxy.__enter__)
    try:
        await go_through(run, stack, url, corpus, connection_faults(relay))
    finally:
        await asyncio.to_thread(proxy.__exit__, None, None, None)
        await relay.close()
    return run


async def go_through(
    run: Run, stack: Stack, url: str, corpus: Corpus, faults: Sequence[Fault], answers: int = 0
) -> None:
    """Injects the faults one after another under load, again and again until so many right answers were checked."""
    watching = asyncio.create_task(watch(stack.triton_port, run.sharing))
    try:
        async with load(url, corpus, DEADLINE_SECONDS, run.record):
            await asyncio.sleep(_REST_SECONDS)
            at_rest = run.record.counts()
            if set(at_rest) != {Verdict.RIGHT}:
                raise NotRunning(f"Before any fault not every answer was right: {dict(at_rest)}")
            while True:
                for fault in faults:
                    recovery = await endure(fault, run.record)
                    run.recoveries.append(recovery)
                    tell(f"{run.name}: {fault.name}: {_sentence(recovery)}")
                    if recovery.steady is None:  # the next fault shall meet a service that is well
                        await bring_back(stack, run.record)
                if run.record.counts()[Verdict.RIGHT] >= answers:
                    return
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def bring_back(stack: Stack, record: Record) -> None:
    """Starts the launcher anew. Raises `NotRunning` where right answers do not come back even so."""
    tell("Starting the service anew.")
    await kill_launcher(stack)
    over, seconds = time.monotonic(), 4 * BACK_WITH_LOAD_SECONDS
    while not is_calm(record.outcomes, over):
        if time.monotonic() > over + seconds:
            raise NotRunning(f"No right answers {seconds:.0f} s after a new start: {stack.log}")
        await asyncio.sleep(0.1)


def summarize(runs: Sequence[Run], starts: Sequence[BrokenStart], seconds: float) -> dict[str, Any]:
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
        f"{CLIENTS} clients, deadline {DEADLINE_SECONDS:g} s. Answers: {totals}. Without the cache, "
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
    return lines


def start_table(starts: Sequence[BrokenStart]) -> list[list[str]]:
    """A line for each broken file."""
    return [
        ["start with", "seconds until it ended", "what it said"],
        *([start.name, report.seconds(start.seconds), start.said] for start in starts),
    ]


def _longest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _sentence(recovery: Recovery) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in recovery.counts.items())
    times = (
        f"first right after {report.seconds(recovery.first_right)} s, steady after {report.seconds(recovery.steady)} s"
    )
    return "; ".join([counts, times, *(f"VIOLATION {what}" for what in recovery.violations)])


def _told(start: BrokenStart) -> BrokenStart:
    tell(f"start with {start.name}: {start.said}" + "".join(f"; VIOLATION {what}" for what in start.violations))
    return start


def tell(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
