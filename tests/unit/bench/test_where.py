"""Where a query's time goes: what the kernel, the proxy and Triton count, and the parts that add up."""

import os
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import step_forward
from bench.kernel_counts import counts, of_thread, total
from bench.machine import file_name
from bench.page import END as RESULTS_END
from bench.parts import NOT_FOUND, Watched, parts
from bench.stage_counts import of_metrics, of_statistics, since
from bench.where import BEGIN, END, PAGE
from bench.where_tables import of_forwards, of_parts, of_processes

STATUS = "Name:\tpython: a\nState:\tS (sleeping)\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"

METRICS = """
# HELP embedding_stage_duration_seconds Time of a request in one stage.
embedding_stage_duration_seconds_count{stage="proxy"} 100.0
embedding_stage_duration_seconds_sum{stage="proxy"} 0.03
embedding_stage_duration_seconds_sum{stage="queue"} 0.01
embedding_stage_duration_seconds_sum{stage="triton"} 0.16
embedding_stage_duration_seconds_sum{stage="encode"} 0.75
embedding_stage_duration_seconds_sum{stage="tokenize"} 0.02
embedding_stage_duration_seconds_sum{stage="pool"} 0.01
"""


def model(name: str, success: float, infer: float, sizes: dict[int, int]) -> dict[str, Any]:
    """Statistics of a model whose calls each took so many milliseconds; `sizes`: how many calls had so many texts."""
    calls = sum(sizes.values())

    def spent(milliseconds: float, count: int = calls) -> dict[str, int]:
        return {"count": count, "ns": round(milliseconds * count * 1e6)}

    left = (success - infer) / 2
    times = {"success": success, "queue": left, "compute_input": left, "compute_infer": infer, "compute_output": 0}
    return {
        "name": name,
        "inference_stats": {part: spent(milliseconds) for part, milliseconds in times.items()},
        "batch_stats": [
            {"batch_size": size, "compute_infer": spent(infer * size, count)} for size, count in sizes.items()
        ],
    }


def statistics(sizes: dict[int, int]) -> dict[str, Any]:
    models = [
        model("tokenizer", 0.6, 0.4, sizes),
        model("encoder", 7.0, 6.8, sizes),
        model("pooling", 0.5, 0.3, sizes),
        model("sentence_embedding", 8.2, 0.0, sizes),
    ]
    return {"model_stats": models}


def watched(sizes: dict[int, int]) -> Watched:
    told = {**of_metrics(METRICS), **of_statistics(statistics(sizes))}
    return Watched(0.01, 0.01, told, {"proxy": np.array([0.001, 0.0005, 4.0, 0.1])})


def test_a_threads_counts() -> None:
    assert of_thread("1500000000 250000 77\n", STATUS).tolist() == [1.5, 0.00025, 12, 3]


def test_this_process_sleeps_and_is_counted() -> None:
    def sleeps() -> None:
        for _ in range(20):
            time.sleep(0.001)
        stop.wait()

    stop = threading.Event()
    before = total(counts(os.getpid()))
    thread = threading.Thread(target=sleeps)
    thread.start()
    try:
        while (found := total(counts(os.getpid())) - before)[2] < 20:
            time.sleep(0.001)
        assert found[0] > 0
    finally:
        stop.set()
        thread.join()


def test_series_and_their_growth() -> None:
    found = of_metrics(METRICS)
    assert found['embedding_stage_duration_seconds_sum{stage="proxy"}'] == 0.03
    assert since({"a": 5.0, "new": 1.0}, {"a": 2.0}) == {"a": 3.0, "new": 1.0}


def test_a_call_counts_once_for_each_text() -> None:
    found = of_statistics(statistics({1: 10, 15: 10}))
    assert found["encoder calls"] == 20
    assert found["encoder success"] == pytest.approx(0.14)
    assert found["encoder texts"] == 160
    assert watched({1: 10, 15: 10}).call_texts == pytest.approx((10 + 15 * 150) / 160)
    assert watched({1: 100}).busy == pytest.approx(0.68)
    assert found["encoder infer × texts"] / found["encoder texts"] == pytest.approx(0.0068 * (10 + 15 * 150) / 160)


def test_each_part_is_what_was_measured() -> None:
    found = parts(watched({1: 100}), exchange=0.0002, warm=0.003, paced=0.005)
    assert {part: round(seconds * 1e3, 6) for part, seconds in found.items()} == {
        "client ↔ proxy: HTTP, kernel, wake-ups": 0.2,
        "proxy: its own work": 0.3,
        "proxy: waits for the call under way": 0.1,
        "proxy ↔ Triton: an HTTP exchange without work": 0.2,
        "Triton: until the steps' threads take their calls": 0.3,
        "Triton: from step to step, tensors in shared memory": 0.4,
        "three ways to a step's process and back": 0.6,
        "tokenizer": 0.2,
        "encoder: the bare forward, call after call": 3.0,
        "encoder: more after a pause": 2.0,
        "encoder: more beside the service": 1.6,
        "pooling": 0.1,
        NOT_FOUND: 1.0,
    }


@pytest.mark.parametrize("sizes", [{1: 100}, {1: 10, 15: 6}])
def test_the_parts_add_up(sizes: dict[int, int]) -> None:
    assert sum(parts(watched(sizes), 0.0002, 0.003, 0.005).values()) == pytest.approx(0.01, abs=1e-12)


def test_the_tables() -> None:
    table = of_parts({"a": 0.001, "b": 0.0025}, {"a": 0.01, "b": 0.02})
    assert table.splitlines()[2:] == [
        "| a | 1.00 | 10.00 |",
        "| b | 2.50 | 20.00 |",
        "| **what a client waits** | 3.50 | 30.00 |",
    ]
    processes = of_processes(watched({1: 1}), watched({1: 1}))
    assert processes.splitlines()[-1] == "| all | 1.00 | 0.50 | 4.0 | 0.1 | 1.00 | 0.50 | 4.0 | 0.1 |"
    assert of_forwards([(0.002, 0.004, 0.0075)]).splitlines()[-1] == "| 2.00 | 4.00 | 7.50 |"


def test_a_processors_file_and_the_pages_marks() -> None:
    assert file_name("AMD EPYC 9R14") == "amd-epyc-9r14"
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert RESULTS_END not in text


def test_the_encoders_backend_is_found_with_what_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "encoder_kernels", raising=False)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", SimpleNamespace())
    assert step_forward.backend().TritonPythonModel
