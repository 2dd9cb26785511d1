"""`python -m reliability.fuzz`: bad input for the service and its parts, up to its doors and past them.

What `make fuzz` calls. Exit code 1 on any violation.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from reliability import report
from reliability.broken_starts import serves_right
from reliability.corpus import Corpus, learn
from reliability.findings import Findings, foreign_marks
from reliability.json_bodies import try_json_bodies
from reliability.pure_functions import try_pure_functions
from reliability.raw_sockets import try_raw_sockets
from reliability.stack import NotRunning, Stack, running
from reliability.triton_grpc import try_triton_grpc
from reliability.triton_requests import try_triton


@dataclass(frozen=True)
class Plan:
    """How much is tried."""

    pure_inputs: int  # texts for the tokenizer's functions, and as many rows for pooling's
    json_examples: int  # of each kind, on each route
    socket_rounds: int  # of each kind of request by hand
    idle: int  # connections
    triton_rounds: int  # of each kind of request to Triton


FULL = Plan(pure_inputs=500_000, json_examples=3_000, socket_rounds=300, idle=100_000, triton_rounds=500)
SHORT = Plan(pure_inputs=10_000, json_examples=300, socket_rounds=10, idle=2_000, triton_rounds=10)
_KNOWN_TEXTS = 100
_MORE_CONNECTIONS = 1_000  # than are idle, so that the limit does not come in between

Block = Callable[[], list[Findings]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 on a violation, and where the service did not start."""
    parser = argparse.ArgumentParser(prog="python -m reliability.fuzz", description="Sends bad input.")
    parser.add_argument("--short", action="store_true", help="about a minute; writes build/reliability/ alone")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of all that is random"
    )
    options = parser.parse_args(arguments)
    plan = SHORT if options.short else FULL
    started = time.monotonic()
    try:
        connections = str(plan.idle + _MORE_CONNECTIONS)
        with running("fuzz", CACHE_MB="1", LOG_LEVEL="debug", MAX_CONNECTIONS=connections) as stack:
            found = try_all(stack, plan, options.seed)
    except NotRunning as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    document = summarize(found, options.seed, time.monotonic() - started)
    report.publish("fuzz", options.short, document, [table(found)])
    return 1 if document["violations"] else 0


def try_all(stack: Stack, plan: Plan, seed: int) -> list[Findings]:
    """Each block, and after each whether the service is well. Raises `NotRunning`."""
    corpus = learn(stack.url, _KNOWN_TEXTS)
    blocks: dict[str, Block] = {
        "pure functions": lambda: try_pure_functions(stack.repository, plan.pure_inputs, seed),
        "requests by hand": lambda: asyncio.run(
            try_raw_sockets(stack.url, corpus, plan.socket_rounds, plan.idle, seed)
        ),
        "Triton's own callers": lambda: try_triton(stack.triton_port, plan.triton_rounds, seed),
        "Triton's own callers, gRPC": lambda: try_triton_grpc(stack.triton_grpc_port, plan.triton_rounds, seed),
        "JSON bodies": lambda: try_json_bodies(stack.url, plan.json_examples, seed),
    }
    found: list[Findings] = []
    for name, block in blocks.items():
        processes, began = stack.processes(), time.monotonic()
        part = block()
        part.append(after(stack, corpus, processes, name))
        found += part
        inputs, violations = sum(each.inputs for each in part), [what for each in part for what in each.violations]
        told = f"{name}: {inputs:,} inputs in {time.monotonic() - began:.0f} s"
        print(told + "".join(f"; VIOLATION {what}" for what in violations), flush=True)
    return found


def after(stack: Stack, corpus: Corpus, processes: dict[str, int], name: str) -> Findings:
    """Whether every process lives, known texts have their vectors, and no client's text is in the log."""
    findings = Findings(f"after {name}: the service")
    alive = stack.processes()
    for role, process in processes.items():
        if alive.get(role) != process:
            findings.blame(f"after {name}: {role} died")
    try:
        right = serves_right(stack.url, corpus)
    except (OSError, ValueError) as error:
        right = False
        findings.blame(f"after {name}: {type(error).__name__}: {error}")
    findings.add("right" if right else "wrong", "" if right else f"after {name}: known texts are not answered right")
    if marks := foreign_marks(stack.log.read_bytes()):
        findings.blame(f"after {name}: a client's text is in the log: {sorted(marks)[0]!r}")
    return findings


def summarize(found: Sequence[Findings], seed: int, seconds: float) -> dict[str, Any]:
    """The JSON of a run."""
    inputs = sum(each.inputs for each in found)
    return {
        "seconds": seconds,
        "seed": seed,
        "inputs": inputs,
        "summary": f"{inputs:,} inputs, seed {seed}.",
        "violations": [what for each in found for what in each.violations],
        "found": [each.document() for each in found],
    }


def table(found: Sequence[Findings]) -> list[list[str]]:
    """A line for each kind of input."""
    lines = [["input", "tried", "answers"]]
    for each in found:
        answers = ", ".join(f"{answer}: {count:,}" for answer, count in sorted(each.answers.items()))
        lines.append([each.name, f"{each.inputs:,}", answers])
    return lines


if __name__ == "__main__":
    sys.exit(main())
