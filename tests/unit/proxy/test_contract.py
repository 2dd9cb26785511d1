"""The paths that are special: which ask for health, which need a key."""

import doctest

import pytest

from proxy import contract


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(contract).failed == 0


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/health", False),
        ("/health/ready", False),
        ("/health/nothing", False),
        ("/healthy", True),
        ("/docs", False),
        ("/docs/assets/redoc.standalone.js", False),
        ("/docs/oauth2-redirect", False),
        ("/docs/other", True),
        ("/redoc", False),
        ("/openapi.json", False),
        ("/metrics", True),
        ("/api/v1/embed", True),
        ("/", True),
    ],
)
def test_what_tells_nothing_needs_no_key(path: str, needed: bool) -> None:
    assert contract.needs_key(path) is needed
