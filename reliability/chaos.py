"""`python -m reliability.chaos`: faults, one after another, under a service that clients keep asking.

What `make chaos` calls. Exit code 1 on any violation.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from reliability import clock, memory_limit, report
from reliability.broken_starts import BrokenStart, try_starts
from reliability.chaos_report import Run, fault_table, sentence, start_table, summarize
from reliability.corpus import Corpus, learn
from reliability.faults import (
    BACK_WITH_LOAD_SECONDS,
    Fault,
    FaultFailed,
    clock_faults,
    connection_faults,
    export_fault,
    kill_launcher,
    out_of_memory_faults,
    process_faults,
)
from reliability.load import CLIENTS, load
from reliability.recovery import endure, is_calm
from reliability.relay import Relay
from reliability.sharing import watch
from reliability.stack import WORK, NotRunning, Stack, lone_proxy, running
from reliability.verdicts import Record, Verdict

DEADLINE_SECONDS = 5.0
_LONGER_THAN_DEADLINE = 8.0
_REST_SECONDS = 2.0  # of load before the first fault


@dataclass(frozen=True)
class Plan:
    """How much is tried."""

    texts: int  # of which the vectors are known
    rounds: int  # of every fault
    answers: int  # right ones with the cache and without it, each at least: the load goes on until then
    with_cache: bool  # every fault with the cache, too; else the kills of Triton and the proxy alone


FULL = Plan(texts=1_000, rounds=2, answers=50_000, with_cache=True)
SHORT = Plan(texts=300, rounds=1, answers=0, with_cache=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 on a violation, and where the service did not start."""
    parser = argparse.ArgumentParser(prog="python -m reliability.chaos", description="Injects faults under load.")
    parser.add_argument("--short", action="store_true", help="some minutes; writes build/reliability/ alone")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        runs, starts = asyncio.run(try_all(SHORT if options.short else FULL))
    except NotRunning as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    document = summarize(runs, starts, DEADLINE_SECONDS, time.monotonic() - started)
    tables = [*(fault_table(run) for run in runs), start_table(starts)]
    report.publish("chaos", options.short, document, tables)
    return 1 if document["violations"] else 0


async def try_all(plan: Plan) -> tuple[list[Run], list[BrokenStart]]:
    """Everything in turn. Raises `NotRunning`."""
    settings = {"DEADLINE_SECONDS": f"{DEADLINE_SECONDS:g}"}
    with running("chaos", CACHE_MB="0", **settings) as stack:
        corpus = await asyncio.to_thread(learn, stack.url, plan.texts)
        tell(f"{len(corpus.texts)} texts whose vectors are known; {CLIENTS} clients ask for them.")
        processes = Run("processes, no cache")
        faults = [*process_faults(stack, _LONGER_THAN_DEADLINE), export_fault(stack)]
        if why := memory_limit.why_not():
            skip(processes, "out of memory: each process", why)
        else:
            faults += out_of_memory_faults(stack)
        await go_through(processes, stack, stack.url, corpus, faults * plan.rounds, plan.answers)
        between = await disturb_connections(stack, corpus, settings)
    with running("chaos-cache", CACHE_MB="64", **settings) as stack:
        cached = Run("processes, with the cache")
        faults = process_faults(stack, _LONGER_THAN_DEADLINE)
        if not plan.with_cache:
            faults = [fault for fault in faults if fault.name in ("SIGKILL tritonserver", "SIGKILL proxy")]
        await go_through(cached, stack, stack.url, corpus, faults, plan.answers)
    jumping = await jump_clock(corpus, settings)
    starts = await asyncio.to_thread(lambda: [_told(start) for start in try_starts(corpus)])
    return [processes, between, cached, jumping], starts


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


async def jump_clock(corpus: Corpus, settings: dict[str, str]) -> Run:
    """A service of its own, all of whose processes have their time of day from us."""
    run = Run("clock")
    if why := clock.why_not():
        skip(run, "clock that jumps", why)
        return run
    time_of_day = clock.Clock(WORK / "clock")
    with running("chaos-clock", CACHE_MB="0", **settings, **time_of_day.environment) as stack:
        if free := [name for name, process in stack.processes().items() if not clock.is_held_by(process)]:
            raise NotRunning(f"Without libfaketime run {', '.join(free)}: {stack.log}")
        await go_through(run, stack, stack.url, corpus, clock_faults(stack, time_of_day))
    return run


async def go_through(
    run: Run, stack: Stack, url: str, corpus: Corpus, faults: Sequence[Fault], answers: int = 0
) -> None:
    """Injects the faults one after another under load, which then goes on until so many right answers were checked."""
    watching = asyncio.create_task(watch(stack.triton_port, run.sharing))
    try:
        async with load(url, corpus, DEADLINE_SECONDS, run.record):
            await asyncio.sleep(_REST_SECONDS)
            at_rest = run.record.counts()
            if set(at_rest) != {Verdict.RIGHT}:
                raise NotRunning(f"Before any fault not every answer was right: {dict(at_rest)}")
            for fault in faults:
                recovery = await endure(fault, run.record)
                run.recoveries.append(recovery)
                tell(f"{run.name}: {fault.name}: {sentence(recovery)}")
                if recovery.steady is None:  # the next fault shall meet a service that is well
                    await bring_back(stack, run.record)
            await wait_for_answers(run.record, answers)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def wait_for_answers(record: Record, wanted: int) -> None:
    """Until so many right answers were checked. Raises `NotRunning` where none comes for long."""
    latest, counted = time.monotonic(), record.counts()[Verdict.RIGHT]
    while counted < wanted:
        await asyncio.sleep(1)
        now = record.counts()[Verdict.RIGHT]
        if now > counted:
            latest, counted = time.monotonic(), now
        elif time.monotonic() - latest > 4 * BACK_WITH_LOAD_SECONDS:
            raise NotRunning(f"No right answer for {4 * BACK_WITH_LOAD_SECONDS:.0f} s, after all faults.")


async def bring_back(stack: Stack, record: Record) -> None:
    """Starts the launcher anew. Raises `NotRunning` where right answers do not come back even so."""
    tell("Starting the service anew.")
    try:
        await kill_launcher(stack)
    except FaultFailed as error:
        raise NotRunning(str(error)) from error
    over, seconds = time.monotonic(), 4 * BACK_WITH_LOAD_SECONDS
    while not is_calm(record.outcomes, over):
        if time.monotonic() > over + seconds:
            raise NotRunning(f"No right answers {seconds:.0f} s after a new start: {stack.log}")
        await asyncio.sleep(0.1)


def _told(start: BrokenStart) -> BrokenStart:
    tell(f"start with {start.name}: {start.said}" + "".join(f"; VIOLATION {what}" for what in start.violations))
    return start


def skip(run: Run, name: str, why: str) -> None:
    """Says that something is not tried, here and in the table."""
    run.skipped[name] = why
    tell(f"{run.name}: {name}: SKIPPED, {why}")


def tell(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
