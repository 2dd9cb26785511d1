"""The end of a request's time, in the domain's terms."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.errors import DeadlineExceeded

if sys.version_info >= (3, 11):
    from asyncio import timeout, timeout_at
else:
    from async_timeout import timeout, timeout_at

__all__ = ["timeout", "until"]


@asynccontextmanager
async def until(deadline: float) -> AsyncIterator[None]:
    """What is awaited inside ends at `deadline`, an instant on the event loop's clock. Raises `DeadlineExceeded`."""
    try:
        async with timeout_at(deadline):
            yield
    except asyncio.TimeoutError as error:
        raise DeadlineExceeded("The engine did not answer in time.") from error
