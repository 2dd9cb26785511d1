"""Waiting for what another process, thread or task does: asked again until it is so, and never without a bound."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_SECONDS = 0.005


def wait_until(condition: Callable[[], T | None], seconds: float = 60.0, pause: float = PAUSE_SECONDS) -> T:
    """The first true answer of `condition`; fails where none comes in time."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)
    return answer


async def until(condition: Callable[[], T | None], seconds: float = 10.0) -> T:
    """The same for a task, which lets the others go on meanwhile."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(PAUSE_SECONDS)
    return answer
