"""Python files of a model repository as modules: its folders are named as Triton wants them, and are no packages."""

import importlib.util
from pathlib import Path
from typing import Any


def load_module(path: Path) -> Any:
    """The file as a module of its stem's name, executed."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
