"""`python -m reliability.overload`: five times the load that the service can carry, and what it answers.

What `make overload` calls. Exit code 1 on any violation.
"""

import argparse
import re
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from reliability import report
from reliability.corpus import Corpus, learn
from reliability.flood import Answer, carry, flood
from reliability.health_probe import probing
from reliability.overload_report import DEADLINE_SECONDS, TIMES, Overload, summarize, summary, table
from reliability.resources import read
from reliability.stack import NotRunning, Stack, running
from reliability.verdicts import Verdict

PROCESSES = 2  # that send; one would have to fight for its turn on the processor with the service
CLIENTS = 32  # whose answers tell what the service can carry

_TEXTS = 300
_LEAD_SECONDS = 2.0  # until the processes are up
_REFUSAL = re.compile(rb" 503 ([\d.]+) ms .*as many texts in hand")


@dataclass(frozen=True)
class Plan:
    """Seconds: of the measuring before and after, and of the flood."""

    carried: float
    flood: float


FULL = Plan(carried=10, flood=60)
SHORT = Plan(carried=4, flood=10)


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
