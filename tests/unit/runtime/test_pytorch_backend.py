"""The backend that runs TorchScript: texts dealt out to threads come back in order, and tables stay in their file."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from bench.modules import load_module
from runtime.layout import OWN_BACKENDS

# TorchScript is deprecated in torch, and what Triton's LibTorch backend takes.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

ROWS, WIDTH = 1000, 16


class Lookup(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.table = torch.nn.Parameter(torch.randn(ROWS, WIDTH, generator=generator).half(), requires_grad=False)
        self.scale = torch.nn.Parameter(torch.full((WIDTH,), 2.0), requires_grad=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        rows = torch.nn.functional.embedding(input_ids, self.table).float()
        return rows * self.scale * attention_mask.unsqueeze(2)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The backend's module, with a stand-in for what the stub process brings along."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
    monkeypatch.syspath_prepend(OWN_BACKENDS / "pytorch")
    return load_module(OWN_BACKENDS / "pytorch" / "model.py")


@pytest.fixture
def model(backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The backend's model on two threads, with `Lookup` in it."""
    torch.jit.script(Lookup()).save(str(tmp_path / "model.pt"))
    monkeypatch.setattr(backend, "_TABLE_BYTES", ROWS * WIDTH)
    monkeypatch.setattr(backend.pb_utils, "get_model_dir", lambda: str(tmp_path), raising=False)
    config = {
        "parameters": {"INTRA_OP_THREAD_COUNT": {"string_value": "2"}},
        "input": [{"name": "input_ids"}, {"name": "attention_mask"}],
        "output": [{"name": "token_embeddings"}],
        "default_model_filename": "model.pt",
    }
    before = torch.get_num_threads()
    model = backend.TritonPythonModel()
    model.initialize({"model_config": json.dumps(config)})
    yield model
    model.workers.shutdown()
    torch.set_num_threads(before)


def inputs(batch: int) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Texts of different lengths, the longest in the middle."""
    generator = np.random.default_rng(batch)
    lengths = generator.permutation(np.arange(batch) % 7 + 1)
    mask = (np.arange(8) < lengths[:, None]).astype(np.int64)
    return generator.integers(0, ROWS, (batch, 8)), mask


@pytest.mark.parametrize("batch", [1, 3, 4, 5, 33])
def test_each_row_is_answered_in_its_place(model: Any, batch: int) -> None:
    ids, mask = inputs(batch)
    (answer,) = model.forward((ids, mask))
    expected = Lookup()(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    np.testing.assert_array_equal(answer, expected)


def test_many_rows_are_dealt_out_and_few_are_not(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    run = model.run

    def counted(arrays: Any) -> Any:
        calls.append(len(arrays[0]))
        return run(arrays)

    monkeypatch.setattr(model, "run", counted)
    model.forward(inputs(3))
    model.forward(inputs(7))
    assert calls[0] == 3
    assert sorted(calls[1:]) == [3, 4]


def test_a_large_table_stays_in_the_file(model: Any, tmp_path: Path) -> None:
    mapped = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    ranges = [[int(end, 16) for end in extent.split("-")] for extent in mapped]
    place = model.module.table.data_ptr()
    assert any(first <= place < last for first, last in ranges)
    assert not any(first <= model.module.scale.data_ptr() < last for first, last in ranges)
