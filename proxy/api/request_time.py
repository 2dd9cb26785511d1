"""The time that a request has: what its header says, and never more than the service's own deadline."""

import asyncio
from typing import Annotated

from fastapi import Header

RequestTimeout = Annotated[
    float | None,
    Header(
        alias="x-request-timeout",
        gt=0,
        allow_inf_nan=False,
        description="Seconds after which the client needs no answer; the service's own deadline, where that is sooner.",
        examples=[2.5],
    ),
]


def deadline_in(seconds: float | None, at_most: float) -> float:
    """The instant on the event loop's clock after so many seconds, of which there are no more than `at_most`."""
    return asyncio.get_running_loop().time() + (at_most if seconds is None else min(seconds, at_most))
