"""Fixtures that more than one folder of tests needs, and a time limit for every coroutine test."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest

# What waits for something that never comes ends with a traceback that shows for what.
_TEST_SECONDS = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives every coroutine test its time limit."""
    for item in items:
        if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
            item.obj = _limited(item.obj)


def _limited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    @functools.wraps(test)
    async def run(**fixtures: Any) -> None:
        await asyncio.wait_for(test(**fixtures), _TEST_SECONDS)

    return run


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of coroutine tests: asyncio's own."""
    return "asyncio"


@pytest.fixture(scope="session")
def multilingual_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """multilingual-e5-small, out of its package, in sentence-transformers layout."""
    from export.source import locate, parse_source

    source = parse_source("package:multilingual_e5_small", "main")
    return locate(source, tmp_path_factory.mktemp("models") / source.name).folder


@pytest.fixture(scope="session")
def small_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small stand-in model in sentence-transformers layout: BERT, a Unigram tokenizer, no Normalize module."""
    from export.stand_in import SMALL, write_stand_in

    folder = tmp_path_factory.mktemp("models") / "small-stand-in"
    write_stand_in(folder, SMALL)
    return folder
