"""Finds a child that runs and will never answer again: it is asked, and what it does meanwhile is looked at.

No answer alone says little, since a busy Triton answers late. With no answer and nothing done it is stuck: stopped by a
signal, or each of its processes waiting for another. Time is counted in questions that were asked, never by the clock
between them: the launcher itself may have been stopped.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from runtime.activity import activity
from runtime.readiness import ask
from runtime.time_limit import within

_INFER = "/v2/models/sentence_embedding/infer"
_STATISTICS = "/v2/models/sentence_embedding/stats"
_TEXT = b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}]}'


@dataclass(frozen=True)
class Limits:
    """How long a child may be silent."""

    pause_seconds: float = 1.0  # after an answer
    question_seconds: float = 2.0
    idle_questions: int = 2  # in turn without an answer, and nothing done: a stop of 3 s is not one of both
    idle_questions_at_start: int = 15  # until it is up: what is loaded comes from a disk or sleeps
    silent_seconds: float = 60.0  # without an answer, however busy: no request's own work takes as long


async def stuck(
    process: int, answers: Callable[[], Awaitable[bool]], up: Callable[[], bool], limits: Limits = Limits()
) -> str:
    """Returns why the child of this process id is of no use; not before it is.

    `answers`: whether it serves a question. `up`: whether it should, or starts yet.
    """
    idle, silent = 0, 0.0
    while True:
        before, began = activity(process), time.monotonic()
        if await _answers_within(limits.question_seconds, answers):
            idle, silent = 0, 0.0
            await asyncio.sleep(limits.pause_seconds)
            continue
        await asyncio.sleep(began + limits.question_seconds - time.monotonic())  # it may have been refused at once
        took = time.monotonic() - began
        if took > 2 * limits.question_seconds:
            continue  # this process did not run either
        after = activity(process)
        idle = idle + 1 if after.rested_since(before, took) else 0
        silent = silent + took if up() else 0.0
        if idle >= (limits.idle_questions if up() or after.stopped else limits.idle_questions_at_start):
            return f"for {idle * limits.question_seconds:.0f} s it served nothing and did nothing"
        if silent >= limits.silent_seconds:
            return f"for {silent:.0f} s it served nothing"


async def _answers_within(seconds: float, answers: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await within(seconds, answers())
    except asyncio.TimeoutError:
        return False


def embeds(address: str, port: int) -> Callable[[], Awaitable[bool]]:
    """Whether the Triton there embeds; asked for a text only where it has embedded for nobody since the last time."""
    successes = 0

    async def answers() -> bool:
        nonlocal successes
        before, answer = successes, await ask(address, port, _STATISTICS)
        try:
            versions = answer.document["model_stats"] if answer else []
            successes = sum(int(version["inference_stats"]["success"]["count"]) for version in versions)
        except (LookupError, TypeError, ValueError):
            successes = 0
        if successes > before:
            return True
        # A stub that is stopped is "not healthy" to Triton, a 500 after a second. A refusal is from a step that runs.
        inferred = await ask(address, port, _INFER, _TEXT)
        return inferred is not None and inferred.status < 500

    return answers


def lives(address: str, port: int) -> Callable[[], Awaitable[bool]]:
    """Whether the proxy there answers by itself, whatever is behind it."""

    async def answers() -> bool:
        return await ask(address, port, "/health/live") is not None

    return answers
