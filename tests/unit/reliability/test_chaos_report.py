"""What `make chaos` says of what it tried, and of what it could not."""

from reliability.chaos_report import Run, fault_table, summarize
from reliability.recovery import Recovery
from reliability.verdicts import Verdict


def recovery(steady: float | None, violation: str = "") -> Recovery:
    return Recovery("SIGKILL proxy", 5, {"right": 3}, 0.5, steady, (violation,) if violation else ())


def test_a_line_for_each_fault_with_its_longest_time() -> None:
    header, line = fault_table(Run("processes", recoveries=[recovery(1.0), recovery(2.0)]))
    told = dict(zip(header, line, strict=True))
    assert (told["times"], told["right"], told["steady, s"], told["allowed, s"]) == ("2", "6", "2.0", "5")
    assert fault_table(Run("processes", recoveries=[recovery(1.0), recovery(None)]))[1][-2] == "never"


def test_what_was_skipped_is_in_the_table_and_in_the_json() -> None:
    run = Run("clock", skipped={"clock that jumps": "no library"})
    header, line = fault_table(run)
    assert line[:2] == ["clock that jumps", "skipped: no library"]
    assert len(line) == len(header)
    assert run.document()["skipped"] == {"clock that jumps": "no library"}


def test_violations_name_the_run_and_the_fault() -> None:
    run = Run("processes", recoveries=[recovery(None, "not back within 5 s")])
    run.record.add(0, 1, Verdict.RIGHT, 1)
    found = summarize([run], [], deadline_seconds=5, seconds=1)
    assert found["violations"] == ["processes, SIGKILL proxy: not back within 5 s"]
    assert found["answers"]["right"] == 1
