"""What counts as growth."""

import pytest

from reliability.resources import Held, Sample
from reliability.trends import Trend, trends

MIB = 2**20


def samples(*resident: int, descriptors: int = 9) -> list[Sample]:
    return [
        Sample(5.0 * number, {"proxy": Held(rss * MIB, MIB, MIB, MIB, 0, descriptors)}, 3, MIB)
        for number, rss in enumerate(resident)
    ]


def violations(found: list[Trend]) -> list[str]:
    return [trend.violation for trend in found if trend.violation]


def test_growth_within_the_first_tenth_is_warming_up() -> None:
    assert violations(trends(samples(50, *[100] * 19))) == []


@pytest.mark.parametrize(("last", "violated"), [(101, False), (102, True), (150, True), (90, False)])
def test_resident_memory(last: int, violated: bool) -> None:
    found = violations(trends(samples(*[100] * 10, *[last] * 10)))
    assert bool(found) == violated
    assert all("proxy: resident" in violation for violation in found)


def test_a_single_descriptor_more() -> None:
    before, after = samples(*[100] * 10), samples(*[100] * 10, descriptors=10)
    assert violations(trends([*before, *after])) == ["proxy: descriptors grew from 9 to 10"]
