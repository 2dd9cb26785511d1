"""The end of a request's time, in the domain's terms."""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

from proxy.errors import DeadlineExceeded

if sys.version_info >= (3, 11):
    from asyncio import timeout, timeout_at
else:
    from async_timeout import timeout, timeout_at

__all__ = ["timeout", "within"]

T = TypeVar("T")


async def within(deadline: float, work: Awaitable[T]) -> T:
    """The work's result; at `deadline`, an instant on the event loop's clock, it is cancelled.

    Raises `DeadlineExceeded` then.
    """
    try:
        async with timeout_at(deadline):
            return await work
    except asyncio.TimeoutError as error:
        raise DeadlineExceeded("The engine did not answer in time.") from error
