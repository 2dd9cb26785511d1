"""A child that is silent: stuck where it does nothing, left alone where it works or answers late."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from bench.processes import arguments
from runtime.activity import activity
from runtime.watchdog import Limits, embeds, lives, stuck
from tests.waiting import until, wait_until

QUICK = Limits(
    pause_seconds=0.01, question_seconds=0.1, idle_questions=2, idle_questions_at_start=1000, silent_seconds=1000.0
)
BUSY, ASLEEP = "while :; do :; done", "sleep 600"


@pytest.fixture
def start() -> Iterator[Callable[[str], int]]:
    started: list[subprocess.Popen[bytes]] = []

    def begin(script: str) -> int:
        # A second process of the session does what is of interest: it is not the leader alone that counts.
        started.append(subprocess.Popen(["/bin/sh", "-c", f"({script}) & wait"], start_new_session=True))
        wait_until(lambda: len(activity(started[-1].pid).processor_seconds) > 1)
        return started[-1].pid

    yield begin
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Asked:
    """Answers once, and then as told."""

    def __init__(self, then: bool | None = None) -> None:
        self.questions = 0
        self.then = then  # None: no answer at all

    async def __call__(self) -> bool:
        self.questions += 1
        if self.questions > 1 and self.then is None:
            await asyncio.sleep(600)
        return self.questions == 1 or bool(self.then)


def always() -> bool:
    return True


async def verdict(process: int, asked: Asked, limits: Limits = QUICK, up: Callable[[], bool] = always) -> str:
    return await stuck(process, asked, up, limits)


async def nothing_is_said(process: int, asked: Asked, questions: int, limits: Limits = QUICK) -> None:
    task = asyncio.create_task(stuck(process, asked, always, limits))
    await until(lambda: asked.questions >= questions or task.done(), 30)
    assert not task.done(), task.result()
    task.cancel()


@pytest.mark.parametrize("then", [None, False])
async def test_one_that_sleeps_is_stuck(start: Callable[[str], int], then: bool | None) -> None:
    asked = Asked(then)
    assert await verdict(start(ASLEEP), asked) == "for 0 s it served nothing and did nothing"
    assert asked.questions == 3


async def test_one_that_works_is_not_until_it_was_silent_for_very_long(start: Callable[[str], int]) -> None:
    process = start(BUSY)
    await nothing_is_said(process, Asked(), 8)
    limits = Limits(pause_seconds=0.01, question_seconds=0.1, silent_seconds=0.5)
    assert await verdict(process, Asked(), limits) == "for 1 s it served nothing"


async def test_a_stopped_process_is_stuck_however_busy_the_others_are(start: Callable[[str], int]) -> None:
    process = start(f"{ASLEEP} & {BUSY}")
    (sleeping,) = wait_until(
        lambda: [each for each in activity(process).processor_seconds if arguments(each)[:1] == ["sleep"]]
    )
    os.kill(sleeping, signal.SIGSTOP)
    wait_until(lambda: activity(process).stopped)
    assert "did nothing" in await verdict(process, Asked())


async def test_late_answers_are_answers(start: Callable[[str], int]) -> None:
    class EverySecond(Asked):
        async def __call__(self) -> bool:
            self.questions += 1
            return self.questions % 2 == 1

    await nothing_is_said(start(ASLEEP), EverySecond(), 9)


async def test_questions_while_this_process_did_not_run_do_not_count(start: Callable[[str], int]) -> None:
    class Blocking(Asked):
        async def __call__(self) -> bool:
            self.questions += 1
            if self.questions > 1:
                time.sleep(0.3)  # as a SIGSTOP of the launcher
                return False
            return True

    await nothing_is_said(start(ASLEEP), Blocking(), 6)


async def test_one_that_is_not_up_yet_has_longer(start: Callable[[str], int]) -> None:
    process, asked = start(ASLEEP), Asked(False)
    limits = Limits(
        pause_seconds=0.01, question_seconds=0.1, idle_questions=2, idle_questions_at_start=6, silent_seconds=0.1
    )
    assert "did nothing" in await verdict(process, asked, limits, up=lambda: False)
    assert asked.questions == 7


# What is asked.


async def ask_server(count: int | None, infer: bytes) -> tuple[list[bool], list[str]]:
    """What `embeds` makes of three looks at a Triton with `count` successes, more by one after the first look."""
    paths: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path = head.decode().split(" ", 2)[:2]
        paths.append(f"{method} {path.rpartition('/')[2]}")
        if path.endswith("/infer"):
            writer.write(infer)
        elif count is not None:
            looks = paths.count("GET stats")
            version = {"inference_stats": {"success": {"count": count + (1 if looks > 1 else 0)}}}
            body = json.dumps({"model_stats": [version]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        answers = embeds("127.0.0.1", server.sockets[0].getsockname()[1])
        return [await answers() for _ in range(3)], paths


REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_triton_that_embeds_for_others_is_not_asked_to() -> None:
    found, asked = await ask_server(0, REFUSAL)
    assert found == [True, True, True], "a refusal is an answer"
    assert asked == ["GET stats", "POST infer", "GET stats", "GET stats", "POST infer"]


async def test_no_answer_to_a_text_is_none_and_neither_is_a_failure() -> None:
    failure = REFUSAL.replace(b"400 Bad Request", b"500 Internal Server Error")
    assert (await ask_server(7, failure))[0] == [True, True, False]
    assert (await ask_server(7, b""))[0] == [True, True, False]
    assert (await ask_server(None, b""))[0] == [False, False, False]


async def test_nobody_lives_where_nobody_is() -> None:
    assert not await lives("127.0.0.1", 9)()
