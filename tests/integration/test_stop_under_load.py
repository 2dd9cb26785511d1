"""SIGTERM while 20 clients ask: what was sent is answered, with right vectors or with a clean 503."""

import asyncio
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from reliability.corpus import Corpus
from reliability.load import load
from reliability.verdicts import Record, Verdict
from tests.integration.launcher_run import MODEL, Run, write_toy_repository

STOP_SECONDS = 5.0
DEADLINE_SECONDS = 30.0


def toy_corpus() -> Corpus:
    """Texts that the toy model gives vectors of their own."""
    texts = tuple(f"{number:04d}" for number in range(500))
    vectors = np.stack([np.frombuffer(text.encode(), np.uint8) for text in texts]).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Corpus(texts, {True: unit, False: vectors}, 4, "toy@0123456789ab-float32")


@pytest.mark.parametrize("pause", [0.0, 0.3], ids=["all can be answered", "not all can be answered"])
def test_no_accepted_request_is_lost(tmp_path: Path, pause: float) -> None:
    slow = MODEL.replace("        return [self.respond", f"        time.sleep({pause})\n        return [self.respond")
    repository = write_toy_repository(tmp_path, "import time\n" + slow)
    run = Run(repository, CACHE_MB="0", CALL_TOKENS="8", LOG_LEVEL="warning")
    record = Record()

    async def stop_under_load() -> float:
        async with load(run.url, toy_corpus(), DEADLINE_SECONDS, record):
            await asyncio.sleep(1)
            run.process.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            assert await asyncio.to_thread(run.wait) == 0
            return asked

    try:
        run.ready()
        asked = asyncio.run(stop_under_load())
        took = time.monotonic() - asked
    finally:
        run.end()
    counts = record.counts()
    assert set(counts) <= {Verdict.RIGHT, Verdict.CLEAN, Verdict.REFUSED}, (counts, record.examples)
    assert record.counts(since=asked)[Verdict.RIGHT], "what was under way went on"
    if pause:
        assert counts[Verdict.CLEAN], "the test shows nothing without requests that came to no end"
    assert took < STOP_SECONDS
