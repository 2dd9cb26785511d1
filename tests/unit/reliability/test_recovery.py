"""From a fault's outcomes to its times and violations."""

import pytest

from reliability.faults import Fault
from reliability.recovery import assess
from reliability.verdicts import Outcome, Verdict


async def nothing() -> None:
    """Injects no fault."""


def outcomes(*found: tuple[float, Verdict]) -> list[Outcome]:
    return [Outcome(finished - 0.1, finished, verdict) for finished, verdict in found]


def test_times_count_from_the_end_of_the_cause() -> None:
    found = assess(
        Fault("stop", nothing),
        outcomes((11, Verdict.CLEAN), (13.5, Verdict.RIGHT), (14, Verdict.CLEAN), (15, Verdict.RIGHT)),
        over=13,
    )
    assert (found.first_right, found.steady) == (0.5, 2)
    assert found.counts == {"right": 2, "clean 5xx": 2}
    assert found.violations == ()


def test_a_service_that_does_not_come_back() -> None:
    found = assess(Fault("kill", nothing), outcomes((11, Verdict.RIGHT), (12, Verdict.CLEAN)), over=10)
    assert found.steady is None
    assert found.violations == ("not back within 5 s",)
    late = assess(Fault("kill", nothing), outcomes((11, Verdict.CLEAN), (16, Verdict.RIGHT)), over=10)
    assert late.violations == ("not back within 5 s",)


@pytest.mark.parametrize("verdict", [Verdict.WRONG, Verdict.HUNG, Verdict.UNCLEAN])
def test_what_no_fault_excuses(verdict: Verdict) -> None:
    fault = Fault("kill", nothing, proxy_away=True)
    assert assess(fault, outcomes((11, verdict), (12, Verdict.RIGHT)), over=10).violations == (f"1 {verdict.value}",)


@pytest.mark.parametrize("verdict", [Verdict.CUT, Verdict.REFUSED])
def test_what_only_a_proxy_that_is_away_excuses(verdict: Verdict) -> None:
    found = outcomes((11, verdict), (12, Verdict.RIGHT))
    assert assess(Fault("kill", nothing, proxy_away=True), found, over=10).violations == ()
    assert assess(Fault("kill", nothing), found, over=10).violations == (f"1 {verdict.value}",)


def test_a_fault_that_must_cost_nothing() -> None:
    found = outcomes((11, Verdict.CLEAN), (12, Verdict.RIGHT))
    assert assess(Fault("clock", nothing), found, over=10).violations == ()
    assert assess(Fault("clock", nothing, harmless=True), found, over=10).violations == ("1 clean 5xx",)
