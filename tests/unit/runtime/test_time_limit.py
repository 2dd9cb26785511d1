"""What is waited for in vain ends in time, and a cancel ends it at once, whatever comes with it."""

import asyncio
from typing import Any

import pytest

from runtime import readiness
from runtime.readiness import ask
from runtime.time_limit import within


async def give(answer: str) -> str:
    await asyncio.sleep(0)
    return answer


async def fail() -> str:
    raise ConnectionRefusedError


async def test_an_answer_and_an_error_are_passed_on() -> None:
    assert await within(60, give("an answer")) == "an answer"
    with pytest.raises(ConnectionRefusedError):
        await within(60, fail())


async def test_what_does_not_come_in_time_is_cancelled() -> None:
    awaited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with pytest.raises(asyncio.TimeoutError):
        await within(0.01, awaited)
    assert awaited.cancelled()


async def test_a_cancel_goes_on_to_what_is_awaited() -> None:
    awaited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(within(60, awaited))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert awaited.cancelled()


@pytest.mark.parametrize("outcome", ["an answer", ConnectionRefusedError()])
async def test_a_cancel_that_comes_with_the_answer_is_not_lost(monkeypatch: pytest.MonkeyPatch, outcome: Any) -> None:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(readiness, "_ask", lambda *_: answer)
    asking = asyncio.create_task(ask("127.0.0.1", 1, "/health"))
    await asyncio.sleep(0)
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
