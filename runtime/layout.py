"""Lays out the folder that Triton starts from: its backends, and the libraries that the wheel has under other names.

<build/triton>/<hash of what it is made of>/
    backends/python/    the wheel's Python backend, the stub of the running Python, and ours beside them
    backends/pytorch/   model.py, which runs TorchScript through the Python backend, and its modules
    lib/                libpython, for the stub
    perf_lib/           what perf_analyzer asks for
    work/               empty: Triton's working folder, the first place that its Python steps import from
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import TritonMissing
from runtime.wheel import TritonWheel

OWN_BACKENDS = Path(__file__).resolve().parent / "backends"
# What a step's process does first; appended to the module that every step imports.
_ADDITION = """

import c_python_backend_utils
import numpy2
import stub_parent

stub_parent.end_with_parent()
numpy2.repair(c_python_backend_utils)
"""
_PERF_LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}


@dataclass(frozen=True)
class Layout:
    """One finished folder, kept from removal for as long as this process lives."""

    folder: Path
    handle: int  # an open, shared-locked descriptor of `folder`

    @property
    def backends(self) -> Path:
        return self.folder / "backends"

    @property
    def libraries(self) -> Path:
        return self.folder / "lib"

    @property
    def perf_libraries(self) -> Path:
        return self.folder / "perf_lib"

    @property
    def work(self) -> Path:
        return self.folder / "work"


def check_path(path: Path, name: str) -> None:
    """Raises `TritonMissing` for a path that the Python backend, which builds a shell line of it, cannot pass on."""
    if re.search(r"[^\w./+=:,@%~-]", str(path)):
        raise TritonMissing(f"{name} is {str(path)!r}: Triton takes no path with spaces or signs that a shell reads.")


def lay_out(wheel: TritonWheel, libpython: Path, root: Path) -> Layout:
    """Makes the folder under `root`, or finds it made; safe when several processes do so at once.

    Where `root` cannot be written to (in a container), a folder that was made before, with the image, is used.

    Raises `TritonMissing` where the path cannot be used or written.
    """
    check_path(root, "The project's folder")
    sources = {
        "backends/python/libtriton_python.so": wheel.python_backend / "libtriton_python.so",
        "backends/python/triton_python_backend_stub": wheel.stub,
        "backends/python/triton_python_backend_utils.py": wheel.python_backend / "triton_python_backend_utils.py",
        "backends/python/numpy2.py": OWN_BACKENDS / "python" / "numpy2.py",
        "backends/python/stub_parent.py": OWN_BACKENDS / "python" / "stub_parent.py",
        "backends/pytorch/model.py": OWN_BACKENDS / "pytorch" / "model.py",
        "backends/pytorch/encoder_kernels.py": OWN_BACKENDS / "pytorch" / "encoder_kernels.py",
    }
    # The short name: a stub asks for `libpython3.X.so.1.0`, whatever Debian's file behind it is called.
    links = {f"lib/{libpython.name}": libpython}
    links |= {f"perf_lib/{name}": _only(wheel.libraries, pattern) for name, pattern in _PERF_LIBRARIES.items()}
    try:
        folder = root / _hash(sources, links)
        if folder.is_dir() and not os.access(root, os.W_OK):
            return Layout(folder, hold(folder))
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / ".lock"):
            if not folder.is_dir():
                _build(folder, sources, links)
            handle = hold(folder)
            _remove_unused(root, keep=folder)
    except OSError as error:
        raise TritonMissing(f"Triton's backends cannot be laid out in {root}: {error}.") from error
    return Layout(folder, handle)


def _build(folder: Path, sources: dict[str, Path], links: dict[str, Path]) -> None:
    # Copies, not links: Triton refuses a backend's library whose real path lies outside of the backend's folder.
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, source in sources.items():
        target = unfinished / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    (unfinished / "backends/python/triton_python_backend_stub").chmod(0o755)
    with (unfinished / "backends/python/triton_python_backend_utils.py").open("a", encoding="utf-8") as utilities:
        utilities.write(_ADDITION)
    for name, source in links.items():
        (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
        (unfinished / name).symlink_to(source)
    (unfinished / "work").mkdir()
    unfinished.rename(folder)


def hold(folder: Path) -> int:
    """An open, shared-locked descriptor: while it is open, nobody who asks for the lock removes the folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def _hash(sources: dict[str, Path], links: dict[str, Path]) -> str:
    # Of contents, not of times: an image's files lose the parts of a second on their way through a registry.
    parts = [f"{name} {path} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in sources.items()]
    parts += [f"{name} {path}" for name, path in links.items()]
    return hashlib.sha256("\n".join([*parts, _ADDITION]).encode()).hexdigest()[:12]


def _remove_unused(root: Path, keep: Path) -> None:
    """Removes folders that no running process holds: those of other Pythons and of earlier versions."""
    for folder in root.iterdir():
        if folder == keep or not folder.is_dir():
            continue
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise TritonMissing(f"The package nvidia-pytriton lacks {pattern}: install it again with `make setup`.")
    return found[0]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
