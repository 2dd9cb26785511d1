"""What a running service tells of its times, as counters that only grow: the proxy's metrics, Triton's statistics."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from bench.services import Service

Counters = dict[str, float]

STEPS = ("tokenizer", "encoder", "pooling")
ENSEMBLE = "sentence_embedding"


def read(service: Service, triton_port: int) -> Counters:
    """All of them now."""
    metrics = _get(service.port, "/metrics").decode()
    statistics = json.loads(_get(triton_port, "/v2/models/stats"))
    return {**of_metrics(metrics), **of_statistics(statistics)}


def since(after: Mapping[str, float], before: Mapping[str, float]) -> Counters:
    """What was added between two readings."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def of_metrics(text: str) -> Counters:
    """Each series of Prometheus' text format, labels and all.

    >>> of_metrics('# TYPE a counter\\na{b="c d"} 2.0\\n')
    {'a{b="c d"}': 2.0}
    """
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


def of_statistics(answer: Mapping[str, Any]) -> Counters:
    """Of each model: its calls, the seconds of all in each part, and what counts a call once for each of its texts.

    `infer × texts` over `texts` is how long the text of a query is in `compute_infer`, and `texts × texts` over `texts`
    with how many it is in a call: a call of 15 texts is the one that 15 queries wait for.
    """
    found: Counters = {}
    for model in answer["model_stats"]:
        name, spent = model["name"], model["inference_stats"]
        found[f"{name} calls"] = spent["success"]["count"]
        for part in ("success", "queue", "compute_infer"):
            found[f"{name} {part}"] = spent[part]["ns"] / 1e9
        sizes = [(each["batch_size"], each["compute_infer"]) for each in model["batch_stats"]]
        found[f"{name} texts"] = sum(size * infer["count"] for size, infer in sizes)
        found[f"{name} texts × texts"] = sum(size**2 * infer["count"] for size, infer in sizes)
        found[f"{name} infer × texts"] = sum(size * infer["ns"] / 1e9 for size, infer in sizes)
    return found


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        content: bytes = answer.read()
    return content
