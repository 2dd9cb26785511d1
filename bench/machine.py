"""The machine and the versions that a result belongs to."""

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """What has to be known to compare two results."""
    packages = ("torch", "sentence-transformers", "transformers", "nvidia-pytriton", "fastapi", "uvicorn")
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_field(Path("/proc/meminfo"), "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "commit": _commit(),
    }


def sentence(found: Mapping[str, Any]) -> str:
    """What `describe` found, in one line."""
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory_gib']} GiB, Linux {found['kernel']}, "
        f"Python {found['python']}, {packages}; commit {found['commit']}"
    )


def file_name(processor: str) -> str:
    """What a processor is called in the names of files.

    >>> file_name("Intel(R) Xeon(R) Processor @ 2.60GHz")
    'intel-xeon-processor-2-60ghz'
    """
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", processor.lower())).strip("-")


def _field(path: Path, name: str) -> str:
    """The value of the first line `name : value`."""
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _commit() -> str:
    """The checked-out commit, with a plus where files differ from it; "unknown" outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--dirty=+"]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
