"""The one timer of a request: none for what is there at once, one for all that waits."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from proxy.embedding.admission import AdmittingEmbedder
from proxy.embedding.base import Embedder
from proxy.embedding.batching import BatchingEmbedder
from proxy.embedding.cache import CachingEmbedder
from proxy.embedding.deadline import DeadlineEmbedder
from proxy.errors import DeadlineExceeded
from tests.fakes.slow_embedder import SlowEmbedder
from tests.waiting import until


class Setting:
    """All embedders of a service in front of a slow one, and the timers that were set since `count`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = SlowEmbedder(held=False)
        admitting = AdmittingEmbedder(BatchingEmbedder(self.engine, calls=1, tokens=64), 64, 10)
        self.embedder: Embedder = DeadlineEmbedder(CachingEmbedder(admitting, megabytes=1))
        self._monkeypatch = monkeypatch

    def count(self) -> list[float]:
        loop = asyncio.get_running_loop()
        set_timer: Callable[..., Any] = loop.call_at
        timers: list[float] = []

        def call_at(when: float, *arguments: Any, **options: Any) -> Any:
            timers.append(when)
            return set_timer(when, *arguments, **options)

        self._monkeypatch.setattr(loop, "call_at", call_at)
        return timers


@pytest.fixture
async def setting(monkeypatch: pytest.MonkeyPatch) -> Setting:
    setting = Setting(monkeypatch)
    await setting.embedder.check(soon())
    await setting.embedder.embed(["known"], True, soon())
    return setting


def soon(seconds: float = 10) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_request_has_one_timer_and_a_remembered_text_none(setting: Setting) -> None:
    timers = setting.count()
    await setting.embedder.embed(["known"], True, soon())
    assert timers == []
    deadline = soon()
    await setting.embedder.embed(["known", "new"], True, deadline)
    assert timers == [deadline]
    await setting.embedder.tokenize(["x " * 40_000] * 3, deadline)
    assert timers == [deadline] * 2


async def test_each_who_waits_for_one_computation_has_a_deadline(setting: Setting) -> None:
    setting.engine.hold()
    patient = asyncio.ensure_future(setting.embedder.embed(["new"], True, soon()))
    await until(lambda: setting.engine.calls[-1] == ["new"])
    for texts in (["new"], ["known", "new"], ["another"]):
        with pytest.raises(DeadlineExceeded):
            await setting.embedder.embed(texts, True, soon(0.01))
    setting.engine.release()
    await patient
    assert setting.engine.calls[-1] == ["new"], "what nobody waits for is not asked"
