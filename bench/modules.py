"""An exported repository's files: its folders are named as Triton wants them, and are no packages."""

import importlib.util
from pathlib import Path
from typing import Any


def version_folder(repository: Path, model: str) -> Path:
    """The folder of the one version that an export has of `model`."""
    (found,) = (path for path in (repository / model).iterdir() if path.name.isdigit())
    return found


def load_module(path: Path) -> Any:
    """The file as a module of its stem's name, executed."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
