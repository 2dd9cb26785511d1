"""docs/scaling.md against the results that it is worked out from."""

import json

from bench.scaling import PAGE, RESULTS, section


def test_the_page_holds_the_published_results() -> None:
    """Where this fails: `make scaling`."""
    assert section(json.loads(RESULTS.read_text(encoding="utf-8"))) in PAGE.read_text(encoding="utf-8")
