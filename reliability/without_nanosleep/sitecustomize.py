"""Lets Python sleep under libfaketime, whose 0.9.10 fails every `clock_nanosleep` with an absolute time (EINVAL)."""

import select
import time
from typing import Any


def _sleep(seconds: Any) -> None:
    select.select((), (), (), seconds)


time.sleep = _sleep
