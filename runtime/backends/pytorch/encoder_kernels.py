"""Which of an encoder's two matrix kernels this machine computes faster with: found by trying, and remembered.

`model.pt` multiplies with FBGEMM; its layers can have oneDNN do it (export/half_linear.py, export/quantization.py).
Which is faster depends on the processor's matrix units, and for a few tokens on its memory.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

ALL, NONE = 0, -1  # calls that go to oneDNN, as layers take it; a number between: those of at least so many tokens

# Calls that both kernels are tried on: texts of so many tokens, a short query and what clients' queries are joined to.
_TOKENS = 12
_TEXTS = (1, 4, 16)
# Of FBGEMM's time, what oneDNN's may be: what measuring says is not exact.
_WORTH = 0.8
_TURNS = (3, 20)  # at least, at most
_SECONDS = 0.2  # for each kind of call, where the fewest turns do not take longer


def choose_kernels(module: Any, path: Path, environment: Mapping[str, str] = os.environ) -> str:
    """Sets the kernels of a loaded `model.pt` and answers with a sentence for the log; empty where it has no choice.

    `ENCODER_KERNEL` says which (`fbgemm` or `onednn`), else it is measured. What was measured is kept in the folder
    `ENCODER_CHOICES`, where there is one, under the export and the processor.
    """
    layers = [layer for layer in module.modules() if hasattr(layer, "use_onednn")]
    if not layers:
        return ""
    wanted = environment.get("ENCODER_KERNEL") or "auto"
    if wanted == "fbgemm":
        from_tokens, why = NONE, "as set"
    elif wanted == "auto" and any(getattr(layer, "onednn_is_coarser", False) for layer in layers):
        from_tokens, why = NONE, "ENCODER_KERNEL=onednn would make its weights bfloat16"
    elif not _works(module, layers):
        from_tokens, why = NONE, "this processor has no instructions for oneDNN's kernel"
    elif wanted == "onednn":
        from_tokens, why = ALL, "as set"
    else:
        from_tokens, why = _found(module, layers, _choice_file(path, environment))
    _use(layers, from_tokens)
    for layer in layers:
        layer.free_unused()
    return f"The encoder multiplies with {_name(from_tokens)}: {why}."


def _name(from_tokens: int) -> str:
    if from_tokens == ALL:
        return "oneDNN"
    return "FBGEMM" if from_tokens == NONE else f"FBGEMM, and from {from_tokens} tokens on with oneDNN"


def _works(module: Any, layers: Sequence[Any]) -> bool:
    """Whether oneDNN's kernel can be made, and runs."""
    try:
        _use(layers, ALL)
        _call(module, 1)
    except RuntimeError:
        return False
    return True


def _use(layers: Sequence[Any], from_tokens: int) -> None:
    before = torch.backends.quantized.engine
    if "onednn" in torch.backends.quantized.supported_engines:
        torch.backends.quantized.engine = "onednn"  # what int8 layers pack their weights for
    try:
        for layer in layers:
            layer.use_onednn(from_tokens)
    finally:
        torch.backends.quantized.engine = before


def _found(module: Any, layers: Sequence[Any], file: Path | None) -> tuple[int, str]:
    """What is remembered in `file`, or is measured now and then remembered; and why it is so."""
    if file is not None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads(file.read_text(encoding="utf-8"))["onednn_from"]), "as measured before"
    seconds = {texts: _compare(module, layers, texts) for texts in _TEXTS}
    from_tokens = decide(seconds)
    if file is not None:
        with suppress(OSError):  # a folder that cannot be written to: it is measured at each start
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_suffix(f".{os.getpid()}")
            unfinished.write_text(json.dumps({"onednn_from": from_tokens, "seconds": seconds}), encoding="utf-8")
            unfinished.replace(file)
    figures = ", ".join(f"{1e3 * fbgemm:.1f} and {1e3 * onednn:.1f} ms" for fbgemm, onednn in seconds.values())
    return from_tokens, f"{', '.join(map(str, _TEXTS))} texts took a core {figures} with FBGEMM and oneDNN"


def decide(seconds: Mapping[int, tuple[float, float]]) -> int:
    """From how many tokens on oneDNN's kernel is worth it, given what a call of so many texts took with FBGEMM and it.

    >>> decide({1: (4.0, 2.0), 4: (9.0, 4.0)})
    0
    >>> decide({1: (4.0, 5.0), 4: (9.0, 4.0)})
    13
    >>> decide({1: (2.0, 1.0), 4: (9.0, 9.0)})
    -1
    """
    from_tokens = NONE
    for texts, (fbgemm, onednn) in sorted(seconds.items(), reverse=True):
        if onednn > _WORTH * fbgemm:
            return from_tokens
        fewer = [other for other in seconds if other < texts]
        from_tokens = _TOKENS * max(fewer) + 1 if fewer else ALL
    return from_tokens


def _compare(module: Any, layers: Sequence[Any], texts: int) -> tuple[float, float]:
    """The least processor time of a call with FBGEMM and with oneDNN, on one thread and in turn.

    At a start others use the cores too: threads that wait for each other would measure those.
    """
    least = {NONE: float("inf"), ALL: float("inf")}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    end = time.monotonic() + _SECONDS
    for turn in range(_TURNS[1]):
        if turn >= _TURNS[0] and time.monotonic() > end:
            break
        for from_tokens in least:
            _use(layers, from_tokens)
            seconds = _call(module, texts)
            if turn > 0:  # TorchScript prepares itself in its first calls
                least[from_tokens] = min(least[from_tokens], seconds)
    torch.set_num_threads(threads)
    return least[NONE], least[ALL]


def _call(module: Any, texts: int) -> float:
    """Seconds of this thread's processor time for one call."""
    ones = torch.ones(texts, _TOKENS, dtype=torch.long)
    with torch.inference_mode():
        start = time.thread_time()
        module(ones, ones)
        return time.thread_time() - start


def _choice_file(path: Path, environment: Mapping[str, str]) -> Path | None:
    folder = environment.get("ENCODER_CHOICES")
    if not folder:
        return None
    export = path.resolve().parents[2].name  # names the model, the precision and the exporter (export/placement.py)
    facts = (export, path.stat().st_size, _processor(), torch.__version__)
    return Path(folder) / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.json"


def _processor() -> str:
    """Its name and its instructions, of which a virtual machine may hide some."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return "".join(line for line in lines[: lines.index("") if "" in lines else None] if line[:5] in ("model", "flags"))
