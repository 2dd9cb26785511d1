"""What an overload run counts as a broken promise."""

from collections.abc import Callable

import pytest

from reliability.flood import Answer
from reliability.health_probe import Probe
from reliability.overload import refusals
from reliability.overload_report import Overload, back_after, summarize, table
from reliability.resources import Held, Sample
from reliability.verdicts import Verdict

MIB = 1 << 20


def answers(since: float, until: float, rate: float, status: int = 200, seconds: float = 0.1) -> list[Answer]:
    """`rate` a second, finished from `since` to `until`."""
    verdict = Verdict.RIGHT if status == 200 else Verdict.CLEAN
    finished = [since + number / rate for number in range(int((until - since) * rate))]
    return [Answer(at - seconds, at - seconds, at, status, verdict, "") for at in finished]


def sample(seconds: float, rss: int) -> Sample:
    return Sample(seconds, {"proxy": Held(rss, rss, rss, 0, 0, 10)}, 0, 0)


def good() -> Overload:
    """100 a second are carried, 500 sent for 10 s."""
    return Overload(
        before=100,
        rate=500,
        began=0,
        ended=10,
        flood=[*answers(0, 10, 100, seconds=0), *answers(0, 10, 400, status=503, seconds=0)],
        after=answers(10, 20, 100),
        inside=[0.001] * 100,
        samples=[sample(second, 100 * MIB) for second in range(10)],
        health=[Probe("/health", 0.0, 0.01, 200)] * 10,
    )


def test_a_run_that_keeps_every_promise() -> None:
    document = summarize(good())
    assert document["violations"] == []
    assert document["back_seconds"] == 0
    assert document["right_a_second_meanwhile"] == 100
    assert all(len(line) == 3 for line in table(document))


def change_verdict(seen: Overload, verdict: Verdict) -> None:
    seen.flood[5] = seen.flood[5]._replace(verdict=verdict, about="x")


def slow_after(seen: Overload) -> None:
    seen.after = [*answers(10, 13, 50), *answers(13, 20, 100)]


def late(seen: Overload) -> None:
    seen.flood[:20] = answers(6, 8, 10, status=504, seconds=5.5)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda seen: change_verdict(seen, Verdict.WRONG), "1 wrong"),
        (lambda seen: change_verdict(seen, Verdict.CUT), "1 cut off"),
        (lambda seen: change_verdict(seen, Verdict.HUNG), "1 hung"),
        (lambda seen: setattr(seen, "rate", 1000), "only 500 requests a second"),
        (late, "p99 of what was taken on"),
        (lambda seen: setattr(seen, "inside", [0.011] * 100), "p99 of a refusal was 11.0 ms"),
        (lambda seen: setattr(seen, "inside", []), "no overload"),
        (slow_after, "full speed was not back"),
        (lambda seen: seen.health.append(Probe("/health", 0.0, 0.01, 503)), "1 of 11 questions for health"),
        (lambda seen: seen.health.append(Probe("/health", 0.0, 0.2, 200)), "p99 of an answer for health was 200 ms"),
        (lambda seen: seen.samples.append(sample(10, 150 * MIB)), "proxy grew from 100 to 150 MiB"),
    ],
)
def test_a_promise_that_is_broken_is_told(broken: Callable[[Overload], None], told: str) -> None:
    seen = good()
    broken(seen)
    (violation,) = summarize(seen)["violations"]
    assert told in violation


def test_a_short_run_tells_times_and_judges_the_rest() -> None:
    seen = good()
    late(seen)
    slow_after(seen)
    seen.inside = [0.011] * 100
    change_verdict(seen, Verdict.WRONG)
    assert summarize(seen, judge_times=False)["violations"] == ["1 wrong"]


def test_back_after() -> None:
    finished = [answer.finished for answer in [*answers(0, 1.5, 50), *answers(1.5, 8, 100)]]
    assert back_after(finished, 0.0, 100) == pytest.approx(1.4, abs=0.2)
    assert back_after([0.0, 0.1], 0.0, 100) is None


def test_refusals_are_read_from_the_access_log() -> None:
    lines = [
        b"INFO POST /api/v1/embed 503 0.4 ms 1 text: The service has as many texts in hand as it takes on.\n",
        b"INFO proxy.access POST /api/v1/embed 200 7.4 ms 1 text\n",
        b"INFO proxy.access POST /api/v1/embed 503 9.0 ms 1 text: The engine is not ready.\n",
    ]
    assert refusals(lines) == [0.0004]
