"""The repair that lets the stub, built for NumPy 1, pass tensors with NumPy 2.

The stub's own half of it is shown by tests/integration/test_runtime.py, wherever NumPy 2 is installed.
"""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime.backends.python import numpy2


class Exporter:
    """Hands a capsule on."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class NativeTensor:
    """As the stub's `Tensor`: from an array, or from a DLPack capsule that must be in C order."""

    def __init__(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self.name, self.array, self.through = name, array, "array"

    @staticmethod
    def from_dlpack(name: str, capsule: Any) -> "NativeTensor":
        tensor = NativeTensor(name, np.from_dlpack(Exporter(capsule)).copy())
        tensor.through = "dlpack"
        return tensor


Tensor: Any = numpy2._tensor_class(NativeTensor)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32, np.uint8])
def test_numbers_go_through_dlpack(dtype: Any) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    tensor = Tensor("x", array)
    assert (tensor.name, tensor.through) == ("x", "dlpack")
    assert tensor.array.dtype == dtype
    assert np.array_equal(tensor.array, array)


def test_read_only_and_turned_arrays_are_put_in_order() -> None:
    row = np.arange(3.0)
    for array in (np.broadcast_to(row, (2, 3)), np.arange(6).reshape(3, 2).T, np.arange(12)[::2]):
        tensor = Tensor("x", array)
        assert tensor.through == "dlpack"
        assert np.array_equal(tensor.array, array)


def test_the_memory_lives_as_long_as_the_capsule() -> None:
    array = np.arange(1000)
    references = sys.getrefcount(array)
    Tensor("x", array)
    assert sys.getrefcount(array) == references


def test_an_empty_array_has_no_size_that_could_be_wrong() -> None:
    assert Tensor("x", np.zeros((0, 3), np.float32)).through == "array"


def test_bytes_as_output_are_refused() -> None:
    with pytest.raises(TypeError, match="output x: BYTES from Python needs NumPy 1"):
        Tensor("x", np.array([b"a"], dtype=np.object_))


@pytest.mark.skipif(int(np.__version__.split(".")[0]) > 1, reason="needs NumPy 1")
def test_nothing_is_done_under_numpy_1() -> None:
    backend = SimpleNamespace(Tensor=NativeTensor)
    numpy2.repair(backend)
    assert backend.Tensor is NativeTensor
