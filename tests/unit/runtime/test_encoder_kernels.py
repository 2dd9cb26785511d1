"""The choice between an encoder's kernels: as set, as measured, as remembered, and as the processor allows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.modules import load_module
from runtime.layout import OWN_BACKENDS


@pytest.fixture
def backend() -> Any:
    return load_module(OWN_BACKENDS / "pytorch" / "encoder_kernels.py")


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used: list[int] = []
        self.onednn_is_coarser = False
        self.freed = 0

    def use_onednn(self, from_tokens: int) -> None:
        self.used.append(from_tokens)

    def free_unused(self) -> None:
        self.freed += 1


class Encoder(torch.nn.Module):
    """Calls nothing; its oneDNN kernel fails where `works` is false."""

    def __init__(self, works: bool = True) -> None:
        super().__init__()
        self.layer = Layer()
        self.works = works

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        if not self.works and self.layer.used[-1] == 0:
            raise RuntimeError("bf16 path needs the cpu support avx512_core")
        return input_ids * attention_mask


def encoder_with_coarser_numbers() -> Encoder:
    encoder = Encoder()
    encoder.layer.onednn_is_coarser = True
    return encoder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model-float16-0123456789ab" / "encoder" / "1" / "model.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


def choose(backend: Any, encoder: Encoder, model: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """The kernel in force at the end, and what was told."""
    told = backend.choose_kernels(encoder, model, environment)
    assert encoder.layer.freed == 1
    return encoder.layer.used[-1], told


@pytest.mark.parametrize(("set_to", "expected"), [("fbgemm", -1), ("onednn", 0)])
def test_what_is_set_is_used_and_not_measured(
    backend: Any, model: Path, monkeypatch: pytest.MonkeyPatch, set_to: str, expected: int
) -> None:
    monkeypatch.setattr(backend, "_compare", None)
    found, told = choose(backend, Encoder(), model, {"ENCODER_KERNEL": set_to})
    assert found == expected
    assert "as set" in told


def test_a_kernel_with_coarser_numbers_is_never_taken_unasked(
    backend: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_compare", None)
    found, told = choose(backend, encoder_with_coarser_numbers(), model, {})
    assert found == -1
    assert "bfloat16" in told
    assert choose(backend, encoder_with_coarser_numbers(), model, {"ENCODER_KERNEL": "onednn"})[0] == 0


@pytest.mark.parametrize("set_to", ["auto", "onednn"])
def test_a_processor_without_the_instructions_keeps_fbgemm(backend: Any, model: Path, set_to: str) -> None:
    found, told = choose(backend, Encoder(works=False), model, {"ENCODER_KERNEL": set_to})
    assert found == -1
    assert told == "The encoder multiplies with FBGEMM: this processor has no instructions for oneDNN's kernel."


def test_the_faster_one_is_used_and_remembered_for_this_export_alone(
    backend: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"ENCODER_KERNEL": "auto", "ENCODER_CHOICES": str(model.parents[3] / "choices")}
    figures = {1: (0.002, 0.004), 4: (0.010, 0.005), 16: (0.040, 0.010)}
    monkeypatch.setattr(backend, "_compare", lambda _, __, texts: figures[texts])
    found, told = choose(backend, Encoder(), model, environment)
    assert found == 13
    assert told == (
        "The encoder multiplies with FBGEMM, and from 13 tokens on with oneDNN: 1, 4, 16 texts took a core "
        "2.0 and 4.0 ms, 10.0 and 5.0 ms, 40.0 and 10.0 ms with FBGEMM and oneDNN."
    )
    monkeypatch.setattr(backend, "_compare", lambda *_: (1.0, 0.1))
    assert choose(backend, Encoder(), model, environment) == (13, told.partition(":")[0] + ": as measured before.")
    model.parents[2].rename(model.parents[3] / "model-int8-0123456789ab")
    other = model.parents[3] / "model-int8-0123456789ab" / "encoder" / "1" / "model.pt"
    assert choose(backend, Encoder(), other, environment)[0] == 0


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"onednn_from": "x"}'])
def test_a_damaged_memory_is_written_anew(
    backend: Any, model: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    environment = {"ENCODER_CHOICES": str(model.parent / "choices")}
    monkeypatch.setattr(backend, "_compare", lambda *_: (1.0, 0.1))
    choose(backend, Encoder(), model, environment)
    (file,) = (model.parent / "choices").iterdir()
    file.write_text(content)
    assert choose(backend, Encoder(), model, environment)[0] == 0
    assert json.loads(file.read_text())["onednn_from"] == 0


def test_where_nothing_can_be_written_it_is_measured_each_time(
    backend: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"ENCODER_CHOICES": str(model / "choices")}  # under a file
    monkeypatch.setattr(backend, "_compare", lambda *_: (1.0, 0.1))
    for _ in range(2):
        found, told = choose(backend, Encoder(), model, environment)
        assert found == 0
        assert "1000.0 and 100.0 ms" in told


def test_both_kernels_are_asked_in_turn(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder()
    seconds = {-1: 0.002, 0: 0.001}
    monkeypatch.setattr(backend, "_call", lambda module, _: seconds[module.layer.used[-1]])
    assert backend._compare(encoder, [encoder.layer], 1) == (0.002, 0.001)
    assert encoder.layer.used == [-1, 0] * 20


def test_another_models_encoder_has_no_choice(backend: Any, model: Path) -> None:
    assert backend.choose_kernels(torch.nn.Linear(2, 2), model, {}) == ""
