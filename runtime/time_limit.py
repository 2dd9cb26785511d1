"""A limit on how long something is waited for, under which no cancel is lost."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, awaited: Awaitable[T]) -> T:
    """What `awaited` gives. Raises `asyncio.TimeoutError` after `seconds`, and then `awaited` is cancelled.

    Before Python 3.12, `asyncio.wait_for` that is cancelled as its answer comes gives the answer, and the cancel is
    lost: a task that asks on and on would never end.
    """
    task = asyncio.ensure_future(awaited)
    task.add_done_callback(_look_at)
    try:
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        task.cancel()


def _look_at(task: "asyncio.Future[T]") -> None:
    """Takes notice of an error that nobody waits for any more; asyncio would complain of it."""
    if not task.cancelled():
        task.exception()
