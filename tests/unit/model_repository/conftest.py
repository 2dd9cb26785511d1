"""The steps' own files, loaded as Triton loads them: by path, with a fake `triton_python_backend_utils`."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

REPOSITORY = Path(__file__).resolve().parents[3] / "model_repository"
LIMIT = 24  # tokens, of `tokenizer_file`
PROMPT = "query: "  # of `prompted_step`
IDENTITY = "00112233445566778899aabbccddeeff"


class FakeTensor:
    def __init__(self, name: str, values: np.ndarray[Any, Any]) -> None:
        self._name, self._values = name, values

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray[Any, Any]:
        return self._values


class FakeTritonError:
    INVALID_ARG = 3

    def __init__(self, message: str, code: int) -> None:
        self._message, self._code = message, code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class FakeResponse:
    def __init__(self, output_tensors: list[FakeTensor] | None = None, error: FakeTritonError | None = None) -> None:
        self._outputs, self._error = output_tensors or [], error

    def output_tensors(self) -> list[FakeTensor]:
        return self._outputs

    def error(self) -> FakeTritonError | None:
        return self._error


class FakeRequest:
    def __init__(
        self, asked: list[str] | None = None, parameters: dict[str, Any] | None = None, **inputs: np.ndarray[Any, Any]
    ) -> None:
        self._asked = asked or []
        self._parameters = parameters or {}
        self._inputs = inputs

    def parameters(self) -> str:
        return json.dumps(self._parameters) if self._parameters else ""

    def inputs(self) -> list[FakeTensor]:
        return [FakeTensor(name, values) for name, values in self._inputs.items()]

    def requested_output_names(self) -> list[str]:
        return self._asked


def fake_backend_utils() -> ModuleType:
    """The few names of `triton_python_backend_utils` that the steps use.

    tests/integration/test_triton_clients.py takes the same paths, errors included, on the real ones.
    """
    module: Any = ModuleType("triton_python_backend_utils")
    module.Tensor = FakeTensor
    module.TritonError = FakeTritonError
    module.InferenceResponse = FakeResponse
    module.get_input_tensor_by_name = lambda request, name: next(
        (tensor for tensor in request.inputs() if tensor.name() == name), None
    )
    return module  # type: ignore[no-any-return]


Load = Callable[[str, str], Any]


@pytest.fixture
def load() -> Iterator[Load]:
    """`load("tokenizer", "tokenization")` imports `model_repository/tokenizer/1/tokenization.py` afresh."""
    before = dict(sys.modules)
    path_before = list(sys.path)
    sys.modules["triton_python_backend_utils"] = fake_backend_utils()

    def load_module(step: str, name: str) -> Any:
        folder = REPOSITORY / step / "1"
        sys.path.insert(0, str(folder))
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    yield load_module
    sys.path[:] = path_before
    for name in ("triton_python_backend_utils", "tokenization", "cutting", "mean_pooling", "model"):
        sys.modules.pop(name, None)
        if name in before:
            sys.modules[name] = before[name]


@pytest.fixture(scope="module")
def tokenizer_file(small_stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tokenizer.json as export writes it, in a model folder with a version."""
    tokenizer = Tokenizer.from_file(str(small_stand_in / "tokenizer.json"))
    tokenizer.enable_truncation(LIMIT)
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
    folder = tmp_path_factory.mktemp("tokenizer") / "1"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "prompts.json").write_text(json.dumps({"default_prompt": ""}))
    (folder / "model_identity").write_text(IDENTITY)
    return folder / "tokenizer.json"


def initialized(load: Load, folder: Path) -> Any:
    """The tokenizer step, on the files in `folder`."""
    step = load("tokenizer", "model").TritonPythonModel()
    step.initialize({"model_repository": str(folder.parent), "model_version": folder.name})
    return step


@pytest.fixture
def tokenizer_step(load: Load, tokenizer_file: Path) -> Any:
    """The tokenizer step, initialized with `tokenizer_file`."""
    return initialized(load, tokenizer_file.parent)


@pytest.fixture
def prompted_step(load: Load, tokenizer_file: Path, tmp_path: Path) -> Any:
    """The same of a model whose default prompt is PROMPT."""
    shutil.copytree(tokenizer_file.parent, tmp_path / "1")
    (tmp_path / "1" / "prompts.json").write_text(json.dumps({"default_prompt": PROMPT}))
    return initialized(load, tmp_path / "1")
