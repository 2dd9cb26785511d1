"""Speeds that are too slow, and a timer that is put off."""

import asyncio

import pytest

from proxy.server.http_limits import Limits
from proxy.server.http_timing import Alarm, Pace

pytestmark = pytest.mark.anyio
LIMITS = Limits(slow_seconds=600, slow_bytes_per_second=128)


def test_a_transfer_goes_on_while_bytes_come() -> None:
    pace = Pace(LIMITS, stall_seconds=30, now=1000)
    assert pace.due == 1030
    for second in range(20, 580, 20):
        assert pace.due > 1000 + second
        pace.moved(1, 1000 + second)
    assert pace.due == 1590  # 30 s after the last one


def test_at_less_than_the_least_speed_it_ends_in_the_end() -> None:
    slow, steady = (Pace(LIMITS, stall_seconds=30, now=0) for _ in range(2))
    for second in range(1000):
        slow.moved(1, second)
        steady.moved(128, second)
    assert slow.due == 600 + 1000 / 128
    assert steady.due == 999 + 30


def test_the_time_in_which_nothing_was_read_does_not_count() -> None:
    pace = Pace(LIMITS, stall_seconds=30, now=0)
    pace.moved(1, 10)
    pace.waited(1000, 1011)
    assert pace.due == 1041
    pace.moved(0, 1590)
    assert pace.due == 1600 + 1 / 128


async def test_an_alarm_rings_once_and_at_its_last_time() -> None:
    loop = asyncio.get_running_loop()
    rang: list[float] = []
    began = loop.time()
    alarm = Alarm(loop, lambda: rang.append(loop.time() - began))
    alarm.set(began + 0.02)
    alarm.set(began + 0.1)
    alarm.set(float("inf"))
    alarm.set(began + 0.06)
    await asyncio.sleep(0.2)
    assert len(rang) == 1
    assert rang[0] >= 0.058
    alarm.set(loop.time() + 0.01)
    alarm.cancel()
    await asyncio.sleep(0.05)
    assert len(rang) == 1
