"""How many texts shared an execution, by Triton's own statistics."""

import asyncio
import json
import urllib.request
from dataclasses import dataclass
from typing import Any

_POLL_SECONDS = 0.25


@dataclass
class Sharing:
    """Counts since `watch` began, over every Triton that came and went; what died between two polls is missing."""

    calls: int = 0  # of the ensemble, by the proxy
    executions: int = 0  # of the encoder
    texts: int = 0  # in these executions

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"calls": self.calls, "encoder_executions": self.executions, "texts_in_them": self.texts}


async def watch(port: int, sharing: Sharing) -> None:
    """Adds up what the Triton on `port` counts, until cancelled."""
    last = await asyncio.to_thread(_counts, port) or (0, 0, 0)
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        now = await asyncio.to_thread(_counts, port)
        if now is None:
            continue
        if now[0] < last[0]:
            last = (0, 0, 0)  # a new process counts from zero
        sharing.calls += now[0] - last[0]
        sharing.executions += now[1] - last[1]
        sharing.texts += now[2] - last[2]
        last = now


def _counts(port: int) -> tuple[int, int, int] | None:
    """The ensemble's requests, the encoder's executions, and the texts in these; None where Triton does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/stats", timeout=2) as answer:
            found = {entry["name"]: entry for entry in json.load(answer)["model_stats"]}
        ensemble, encoder = found["sentence_embedding"], found["encoder"]
        return (
            int(ensemble["inference_stats"]["success"]["count"]),
            int(encoder["execution_count"]),
            int(encoder["inference_count"]),
        )
    except (OSError, ValueError, LookupError):
        return None
