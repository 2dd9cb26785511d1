"""Work for a client, which ends when the client hangs up."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")

# Most answers are there sooner, and then nobody has to look.
_LOOK_AFTER_SECONDS = 0.02


async def unless_disconnected(receive: Receive, work: Awaitable[T]) -> T:
    """The work's result; the request's body must have been read.

    Raises `ClientDisconnect`, with the work cancelled, when the client hangs up before the work is done.
    """
    task = asyncio.current_task()
    assert task is not None
    looking: asyncio.Task[None] | None = None
    left = False

    async def wait_for_disconnect() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    def look() -> None:
        nonlocal looking
        looking = asyncio.create_task(wait_for_disconnect())

    timer = asyncio.get_running_loop().call_later(_LOOK_AFTER_SECONDS, look)
    try:
        return await work
    except asyncio.CancelledError:
        # The server cancels, too, when it stops; Python 3.11 counts how often a task was cancelled.
        if not left or (hasattr(task, "uncancel") and task.uncancel() > 0):
            raise
        raise ClientDisconnect from None
    finally:
        timer.cancel()
        if looking is not None:
            looking.cancel()
