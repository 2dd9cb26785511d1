"""The two kernels of an exported encoder: both near the original, one chosen by the number of tokens, none lost."""

from pathlib import Path
from typing import Any

import pytest
import torch

from export.conversion import convert_encoder, save_script, script_encoder
from export.kernels import kernels
from tests.unit.export.test_encoder import make_original

# TorchScript is deprecated in torch, and what Triton's LibTorch backend takes.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

BFLOAT16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
TOLERANCE = {"float16": 0.1, "int8": 1e-3}  # of a component, layer norm gives components of about 1: oneDNN from FBGEMM


@pytest.fixture(params=["float16", "int8"])
def precision(request: pytest.FixtureRequest) -> Any:
    if request.param == "float16" and not BFLOAT16:
        pytest.skip("this processor does not know bfloat16")
    return request.param


def make_script(precision: Any) -> Any:
    return script_encoder(convert_encoder(make_original("bert"), "bert"), precision)


def embed(script: Any, texts: int, length: int = 6) -> torch.Tensor:
    ids = torch.randint(2, 100, (texts, length), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        found: torch.Tensor = script(ids, torch.ones_like(ids))
    return found


def layers(script: Any) -> list[Any]:
    return [layer for layer in script.modules() if hasattr(layer, "use_onednn")]


def test_the_kernels_agree_and_leave_the_script_as_it_was(precision: Any, tmp_path: Path) -> None:
    script = make_script(precision)
    before = embed(script, 5)
    found = {kernel: embed(script, 5) for kernel in kernels(script)}
    assert list(found) == ["fbgemm", "onednn"]
    torch.testing.assert_close(found["fbgemm"], before, atol=0, rtol=0)
    torch.testing.assert_close(found["onednn"], before, atol=TOLERANCE[precision], rtol=0)
    loaded = save_script(script, tmp_path / "model.pt")
    torch.testing.assert_close(embed(loaded, 5), before, atol=0, rtol=0)


def test_a_script_without_a_choice_has_one_kernel() -> None:
    assert list(kernels(make_script("float32"))) == ["fbgemm"]


def test_the_number_of_tokens_chooses() -> None:
    if not BFLOAT16:
        pytest.skip("this processor does not know bfloat16")
    script = make_script("float16")
    few, many = embed(script, 1), embed(script, 4)
    for layer in layers(script):
        layer.use_onednn(0)
    onednn = embed(script, 4)
    for layer in layers(script):
        layer.use_onednn(24)
        layer.free_unused()
    torch.testing.assert_close(embed(script, 1), few, atol=0, rtol=0)
    torch.testing.assert_close(embed(script, 4), onednn, atol=0, rtol=0)
    assert not torch.equal(onednn, many)


def test_a_kernel_that_no_call_takes_leaves_the_memory(precision: Any) -> None:
    script = make_script(precision)
    (_,) = (embed(script, 2) for kernel in kernels(script) if kernel == "onednn")
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "onednn"
    try:
        for layer in layers(script):
            layer.use_onednn(0)
    finally:
        torch.backends.quantized.engine = before
    expected = embed(script, 3)
    for layer in layers(script):
        layer.free_unused()
    torch.testing.assert_close(embed(script, 3), expected, atol=0, rtol=0)
    if precision == "float16":
        assert all(layer._packed_params._weight_bias()[0].numel() == 1 for layer in layers(script))
