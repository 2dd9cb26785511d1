"""What counts as a violation in an answer to bad input."""

import pytest

from reliability.findings import Findings, judge_answer, new_mark
from reliability.json_bodies import marked


@pytest.mark.parametrize("status", [200, 400, 422, 503, 504])
def test_an_answer_and_a_refusal_are_well(status: int) -> None:
    mark = new_mark()
    assert judge_answer(status, f"you sent {mark}".encode(), mark, "it") == ""


def test_a_failure_and_a_foreign_mark_are_not() -> None:
    mark, other = new_mark(), new_mark()
    assert "500" in judge_answer(500, b"", mark, "it")
    assert other in judge_answer(200, other.encode(), mark, "it")


def test_violations_are_counted_past_those_that_are_kept() -> None:
    findings = Findings("it")
    for number in range(9):
        findings.add("500", f"violation {number}")
    assert len(findings.violations) == 5
    assert findings.answers == {"500": 9, "violations": 9}


def test_a_marked_text_is_still_one_that_is_taken() -> None:
    body = marked({"text": "a" * 1000}, "mark")
    assert len(body["text"]) <= 1000
    assert body["text"].endswith("mark")
