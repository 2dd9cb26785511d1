"""The kernels that an exported encoder may multiply with on this processor; who loads it chooses one."""

from collections.abc import Iterator
from typing import Any, Literal

import torch

Kernel = Literal["fbgemm", "onednn"]


def kernels(script: Any) -> Iterator[Kernel]:
    """Puts each into force and answers with its name: FBGEMM, then oneDNN where `script` has it and it works here.

    After the last one `script` is as it was, and can be saved.
    """
    yield "fbgemm"
    layers = [layer for layer in script.modules() if hasattr(layer, "use_onednn")]
    try:
        if layers and _made(layers):
            yield "onednn"
    finally:
        for layer in layers:
            layer.use_onednn(-1)
            layer.free_unused()


def _made(layers: list[Any]) -> bool:
    """False on a processor that has no instructions for it."""
    before = torch.backends.quantized.engine
    try:
        torch.backends.quantized.engine = "onednn"  # what int8 layers pack their weights for
        for layer in layers:
            layer.use_onednn(0)
            layer(torch.zeros(1, layer.inputs))
    except RuntimeError:
        return False
    finally:
        torch.backends.quantized.engine = before
    return True
