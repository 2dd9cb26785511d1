"""Checks the engine again and again, so that a question for its health is answered at once, whatever goes on."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Protocol

from proxy.deadlines import timeout
from proxy.embedding.base import Embedder
from proxy.embedding.model import ServedModel
from proxy.errors import EmbeddingError, EngineFailed, EngineUnavailable

LOG = logging.getLogger("proxy")

BEAT_SECONDS = 1.0  # from one check's end to the next one's beginning
_CHECK_SECONDS = 2.0  # for one check; less where requests themselves have less
_FRESH_SECONDS = 3.0  # after which an outcome says nothing any more: a check that hangs is soon a failure
# Of a question that meets no outcome which holds, for the check that it calls for. A health check is to be quick.
_PATIENCE_SECONDS = 0.05
_CONNECT_SECONDS = 0.5  # to an engine that has just answered


class EngineWatch(Protocol):
    """Tells whether the engine's process is still the one that it was."""

    @property
    def process(self) -> int | None:
        """A number that stays the same for as long as one process surely runs; None while that is not known."""

    async def connected(self, seconds: float) -> int | None:
        """The process, of which somebody knows that it is there; waits at most so long to find out."""


@dataclass(frozen=True)
class _Outcome:
    finished: float  # on the event loop's clock
    process: int | None  # of the engine, as `ProcessWatch` numbers it, when the check began, else when it ended
    model: ServedModel | None  # None where the check failed
    why: str = ""


class Heartbeat:
    """Keeps the outcome of the latest check.

    An outcome holds for some seconds, and for as long as the engine's process is the one that was checked.
    """

    def __init__(
        self, embedder: Embedder, watch: EngineWatch, deadline_seconds: float, beat_seconds: float = BEAT_SECONDS
    ) -> None:
        """`watch`: opened and closed by its owner. `deadline_seconds`: of a request.

        `beat_seconds`: 0 for no checks but one for each question.
        """
        self._embedder = embedder
        self._watch = watch
        self._check_seconds = min(_CHECK_SECONDS, deadline_seconds)
        self._beat_seconds = beat_seconds
        self._outcome: _Outcome | None = None
        self._called = asyncio.Event()  # ends the pause before the next check
        self._finished = asyncio.Event()  # set and replaced with each outcome
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts to check; does not wait for the engine to be there."""
        if self._beat_seconds > 0:
            self._task = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """Checks no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def model(self) -> ServedModel:
        """The model that a text sent now would be embedded with.

        Answers at once, but before the first outcome. Raises `EmbeddingError`, which says why it would not be.
        """
        if self._task is None:
            return await self._embedder.check(asyncio.get_running_loop().time() + self._check_seconds)
        if not self._holds():
            patience = self._check_seconds if self._outcome is None else _PATIENCE_SECONDS
            with contextlib.suppress(asyncio.TimeoutError):
                async with timeout(patience):
                    while not self._holds():
                        self._called.set()
                        await self._finished.wait()
        outcome = self._outcome
        if outcome is None or not self._holds():
            raise EngineUnavailable("The engine has not answered the latest check.")
        if outcome.model is None:
            raise EngineUnavailable(outcome.why)
        return outcome.model

    @property
    def latest(self) -> ServedModel | None:
        """The model of the latest outcome, while it holds; None without one and after a failure."""
        return self._outcome.model if self._outcome is not None and self._holds() else None

    def _holds(self) -> bool:
        outcome = self._outcome
        if outcome is None:
            return False
        # A success while the process was not known yet is no reason to be red once it is.
        unknown = outcome.process is None and outcome.model is not None
        if not unknown and outcome.process != self._watch.process:
            return False
        return asyncio.get_running_loop().time() - outcome.finished <= _FRESH_SECONDS

    async def _beat(self) -> None:
        while True:
            self._called.clear()
            self._keep(await self._check())
            with contextlib.suppress(asyncio.TimeoutError):
                async with timeout(self._beat_seconds):
                    await self._called.wait()

    async def _check(self) -> _Outcome:
        loop, process = asyncio.get_running_loop(), self._watch.process
        model, why = None, ""
        try:
            model = await self._embedder.check(loop.time() + self._check_seconds)
            if process is None:  # from now on its end is noticed at once
                process = await self._watch.connected(_CONNECT_SECONDS)
        except EmbeddingError as error:
            why = str(error)
            if isinstance(error, EngineFailed) and self._is_news(why):
                LOG.warning("a check of the engine failed", exc_info=error)
        except Exception:
            why = "The check of the engine failed; the reason is in the log."
            if self._is_news(why):
                LOG.exception("unexpected error in a check of the engine")
        return _Outcome(loop.time(), self._watch.process if process is None else process, model, why)

    def _is_news(self, why: str) -> bool:
        return self._outcome is None or self._outcome.why != why

    def _keep(self, outcome: _Outcome) -> None:
        if outcome.model is None and self._is_news(outcome.why):
            LOG.warning("not ready: %s", outcome.why)
        elif outcome.model is not None and self._outcome is not None and self._outcome.model is None:
            LOG.info("ready again")
        self._outcome = outcome
        self._finished.set()
        self._finished = asyncio.Event()
