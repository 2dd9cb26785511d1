"""Lets the Python backend's stub of the wheel, which was built for NumPy 1, pass tensors with NumPy 2.

The stub reads an element's size where NumPy 1 kept it in a dtype. NumPy 2 keeps flags there, which are 0 for numbers:
so the stub makes every input with strides of 0 (the first element again and again) and takes every output for 0 bytes.
NumPy 1 has no build for Python 3.13, so both places are put right here, in the stub's process alone:

- inputs: the one function of NumPy's C interface that the stub makes arrays with gets a stand-in that lets NumPy count
  the strides itself;
- outputs: `pb_utils.Tensor(name, array)` goes through DLPack, which brings its own sizes.

Nothing is done under NumPy 1, and with a stub that knows NumPy 2 both are harmless. The layout appends the call of
`repair` to the wheel's `triton_python_backend_utils.py`.
"""

import ctypes
import importlib
from typing import Any

import numpy as np

# From NumPy's `__multiarray_api.h`, the same in 1.x and 2.x: places in the table of its C interface.
_NEW_FROM_DESCR = 94
_TABLE_LENGTH = 300  # of which the stub reads no more than 283

# PyArray_NewFromDescr(type, dtype, ndim, shape, strides, data, flags, parent), with the GIL held.
_NewFromDescr = ctypes.PYFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_ssize_t),
    ctypes.POINTER(ctypes.c_ssize_t),
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_void_p,
)

_USED = b"used_dltensor"

_kept: list[Any] = []  # what the stub holds pointers to must never be collected


def repair(backend: Any) -> None:
    """Repairs `backend`, the stub's own module `c_python_backend_utils`, where NumPy is 2 or newer."""
    if int(np.__version__.split(".")[0]) < 2:
        return
    native = backend.Tensor
    _repair_inputs(native)
    backend.Tensor = _tensor_class(native)


def _repair_inputs(native: Any) -> None:
    # By the name that the stub looks NumPy's C interface up by.
    multiarray: Any = importlib.import_module("numpy.core.multiarray")
    capsule = multiarray._ARRAY_API
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    new_capsule = ctypes.pythonapi.PyCapsule_New
    new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

    pointers = ctypes.c_void_p * _TABLE_LENGTH
    table = pointers.from_buffer_copy(pointers.from_address(get_pointer(capsule, None)))
    original = _NewFromDescr(table[_NEW_FROM_DESCR] or 0)

    def new_from_descr(
        kind: int, dtype: int, ndim: int, shape: Any, strides: Any, data: int, flags: int, parent: int
    ) -> Any:
        if ndim and strides and strides[ndim - 1] == 0:
            strides = None
        return original(kind, dtype, ndim, shape, strides, data, flags, parent)

    stand_in = _NewFromDescr(new_from_descr)
    table[_NEW_FROM_DESCR] = ctypes.cast(stand_in, ctypes.c_void_p).value
    _kept.extend([table, stand_in])
    multiarray._ARRAY_API = new_capsule(ctypes.addressof(table), None, None)
    try:
        native("any", np.zeros(1, np.uint8))  # the stub's first array: it looks the interface up once, now
    finally:
        multiarray._ARRAY_API = capsule  # every other library gets NumPy's own


def _tensor_class(native: Any) -> type:
    class Tensor:
        """Makes the stub's own tensors of numbers, from any array; BYTES, as an output, it refuses."""

        from_dlpack = staticmethod(native.from_dlpack)

        def __new__(cls, name: str, array: np.ndarray[Any, Any]) -> Any:
            if array.dtype.kind in "OSU":
                raise TypeError(f"output {name}: BYTES from Python needs NumPy 1 with this Triton's Python backend")
            if array.size == 0:
                return native(name, array)
            # DLPack cannot say "read-only", and the stub takes rows in C order alone.
            capsule = np.require(array, requirements=["C", "W"]).__dlpack__()
            tensor = native.from_dlpack(name, capsule)
            # The stub marks it as used in a word that is not the standard's, and NumPy would print an error about it.
            ctypes.pythonapi.PyCapsule_SetName(ctypes.py_object(capsule), _USED)
            return tensor

    return Tensor
