"""Finds the parts of Triton that the wheel nvidia-pytriton carries, without importing it, and libpython."""

import importlib.util
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import TritonMissing


@dataclass(frozen=True)
class TritonWheel:
    """Where the wheel's parts lie."""

    server: Path  # the executable
    python_backend: Path  # folder with libtriton_python.so and triton_python_backend_utils.py
    stub: Path  # the Python backend's process, for the running Python's minor version
    libraries: Path  # the shared libraries that the wheel was repaired with, under hashed names


def find_wheel() -> TritonWheel:
    """Looks the installed wheel up.

    Raises `TritonMissing` where it, or its stub for the running Python, is absent.
    """
    spec = importlib.util.find_spec("pytriton")  # finds, and does not import: it would bring a second server's worth
    if spec is None or not spec.submodule_search_locations:
        raise TritonMissing("The package nvidia-pytriton, which brings Triton, is not installed: run `make setup`.")
    package = Path(next(iter(spec.submodule_search_locations)))
    triton = package / "tritonserver"
    version = _python_version()
    wheel = TritonWheel(
        server=triton / "bin" / "tritonserver",
        python_backend=triton / "backends" / "python",
        stub=triton / "python_backend_stubs" / version / "triton_python_backend_stub",
        libraries=package.parent / "nvidia_pytriton.libs",
    )
    if not wheel.stub.is_file() and triton.is_dir():
        built = sorted((path.name for path in (triton / "python_backend_stubs").iterdir()), key=_version_key)
        raise TritonMissing(f"Triton's wheel has no stub for Python {version}: use one of {', '.join(built)}.")
    for part in (wheel.server, wheel.python_backend / "libtriton_python.so", wheel.libraries):
        if not part.exists():
            raise TritonMissing(f"The package nvidia-pytriton lacks {part.name}: install it again with `make setup`.")
    return wheel


def find_libpython(version: str | None = None) -> Path:
    """The shared library of Python `version` ("3.11"; the running one), which the stub loads.

    Raises `TritonMissing`, naming the package that brings it, where there is none.
    """
    version = version or _python_version()
    name = sysconfig.get_config_var("INSTSONAME") or ""
    if not name.startswith(f"libpython{version}.so"):  # a static build names an archive
        name = f"libpython{version}.so.1.0"
    for folder in _library_folders():
        if (folder / name).is_file():
            return folder / name
    cached = _loader_cache().get(name)
    if cached is not None:
        return cached
    raise TritonMissing(
        f"{name} is missing, which Triton loads to run Python: on Debian and Ubuntu `apt-get install "
        f"libpython{version}`, on Fedora `dnf install python{version}-libs`; a Python built by pyenv needs "
        "PYTHON_CONFIGURE_OPTS=--enable-shared."
    )


def _library_folders() -> Iterator[Path]:
    # What this very process has loaded is the surest; then where the build says, and where builds that were moved
    # after compilation (conda, uv, pyenv) keep it.
    for line in Path("/proc/self/maps").read_text().splitlines():
        match = re.search(r"\s(/.*)/libpython3\.\d+\.so", line)
        if match:
            yield Path(match[1])
    for variable in ("LIBDIR", "LIBPL"):
        if folder := sysconfig.get_config_var(variable):
            yield Path(folder)
            if multiarch := sysconfig.get_config_var("MULTIARCH"):
                yield Path(folder) / multiarch
    yield Path(sys.base_exec_prefix) / "lib"


def _loader_cache() -> dict[str, Path]:
    """The libraries that the loader knows by name, from `ldconfig -p`."""
    for ldconfig in ("/sbin/ldconfig", "/usr/sbin/ldconfig"):
        if Path(ldconfig).is_file():
            listing = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
            return {m[1]: Path(m[2]) for m in re.finditer(r"^\s*(\S+) \(.*x86-64.*\) => (.+)$", listing, re.MULTILINE)}
    return {}


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
