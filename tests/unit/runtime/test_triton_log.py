"""Triton's log, as Triton 2.51.0 wrote it, made short."""

import pytest

from runtime.triton_log import TritonLog

STARTED = [
    'I1122 10:03:09.208165 11146 pinned_memory_manager.cc:283] "Pinned memory pool disabled"',
    'E1122 10:03:09.208562 11146 server.cc:241] "CudaDriverHelper has not been initialized."',
    'I1122 10:03:09.209839 11146 model_lifecycle.cc:472] "loading: toy:1"',
]
FAILED = [
    "I1122 10:03:09.273128 11156 pb_stub.cc:366]  Failed to initialize Python stub: ModuleNotFoundError: No module "
    "named 'nothere'",
    "",
    "At:",
    "  /r/toy/1/model.py(1): <module>",
    "  <frozen importlib._bootstrap>(241): _call_with_frames_removed",
    'E1122 10:03:09.584173 11146 backend_model.cc:692] "ERROR: Failed to create instance: ModuleNotFoundError: No '
    "module named 'nothere'\\n\\nAt:\\n  /r/toy/1/model.py(1): <module>\"",
    "E1122 10:03:09.584319 11146 model_lifecycle.cc:642] \"failed to load 'toy' version 1: Internal: "
    "ModuleNotFoundError: No module named 'nothere'\\n\\nAt:\\n  /r/toy/1/model.py(1): <module>\\n  "
    '<frozen importlib._bootstrap>(241): _call\\n"',
    "I1122 10:03:09.584504 11146 server.cc:604] ",
    "+------------------+------+",
    "| Repository Agent | Path |",
    "+------------------+------+",
    "error: creating server: Internal - failed to load all models",
]
WHY = "failed to load 'toy' version 1: Internal: ModuleNotFoundError: No module named 'nothere' (model.py, line 1)"


def read(*lines: str, log_level: str = "info") -> tuple[TritonLog, list[str]]:
    shown: list[str] = []
    log = TritonLog(shown.append, log_level)
    for line in lines:
        log.read(line)
    return log, shown


def test_a_start_in_peace_shows_nothing() -> None:
    log, shown = read(*STARTED, "I1122 10:02:24.0 1 model_lifecycle.cc:839] \"successfully loaded 'toy'\"")
    assert shown == []
    assert log.loading == set()
    assert log.last_error == ""


def test_a_model_that_does_not_load_is_told_in_one_line() -> None:
    log, shown = read(*STARTED, *FAILED)
    assert shown == [f"Triton: {WHY}"]
    assert log.last_error == WHY


def test_the_same_failure_is_told_again_only_after_triton_was_up() -> None:
    log, shown = read(*FAILED)
    log.begin()
    for line in FAILED:
        log.read(line)
    assert len(shown) == 1
    log.forget()
    for line in FAILED:
        log.read(line)
    assert len(shown) == 2


def test_what_still_loads_is_known() -> None:
    assert read(*STARTED)[0].loading == {"toy"}
    assert read(*STARTED, *FAILED)[0].loading == set()


def test_an_error_of_the_server_itself_is_told() -> None:
    log, shown = read("error: creating server: Internal - failed to stat file /r")
    assert shown == ["Triton: creating server: Internal - failed to stat file /r"]
    assert log.last_error.endswith("failed to stat file /r")


def test_what_a_step_prints_is_passed_on() -> None:
    assert read("갈비탕: a step's own words")[1] == ["갈비탕: a step's own words"]


@pytest.mark.parametrize(
    ("log_level", "letters"), [("debug", "IWE"), ("info", "WE"), ("warning", "WE"), ("error", "E"), ("critical", "E")]
)
def test_levels(log_level: str, letters: str) -> None:
    lines = [f'{letter}1122 10:02:22.098727 9429 grpc_server.cc:2558] "message {letter}"' for letter in "IWE"]
    _, shown = read(*lines, log_level=log_level)
    assert [line.rstrip('"')[-1] for line in shown] == list(letters)


def test_the_last_answer_before_a_stop_is_noted() -> None:
    log, _ = read('I1122 10:02:22.888914 9429 server.cc:336] "All models are stopped, unloading models"')
    assert log.drained
    log.begin()
    assert not log.drained


def test_traces_that_do_not_arrive_are_told_once() -> None:
    place = "[Error] File: /tmp/tritonbuild/otlp/src/otlp_http_client.cc:200 [OTLP HTTP Client] "
    lost = [
        f"{place}Session state: connection failed.Failed to connect",
        f"{place}ERROR: Export 8 trace span(s) error: 1",
    ]
    assert read(*lost, *lost)[1] == ["Triton: no traces reach their receiver: connection failed.Failed to connect"]
