"""The real wheel, and libpython."""

import ctypes
import subprocess
import sys

import pytest

from runtime.errors import TritonMissing
from runtime.settings import PROJECT_ROOT
from runtime.wheel import find_libpython, find_wheel


def test_the_wheel_is_found_and_not_imported() -> None:
    code = "import sys; from runtime.wheel import find_wheel; find_wheel(); print('pytriton' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    assert said.stdout == "False\n"


def test_its_parts_are_there() -> None:
    wheel = find_wheel()
    assert wheel.server.is_file()
    assert wheel.stub.parent.name == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (wheel.python_backend / "triton_python_backend_utils.py").is_file()


def test_libpython_is_that_of_the_running_python() -> None:
    library = ctypes.CDLL(str(find_libpython()))
    library.Py_GetVersion.restype = ctypes.c_char_p
    assert library.Py_GetVersion().decode().startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")


def test_a_missing_libpython_is_told_with_the_package_that_brings_it() -> None:
    with pytest.raises(TritonMissing, match=r"^libpython3\.99\.so\.1\.0 is missing.*apt-get install libpython3\.99`"):
        find_libpython("3.99")
