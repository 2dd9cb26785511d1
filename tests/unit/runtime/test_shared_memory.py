"""What Triton leaves in shared memory is removed: all of ours, and nothing else."""

import os
from pathlib import Path

import pytest

from runtime.errors import RuntimeStopped
from runtime.shared_memory import SharedMemory


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_only_our_own_regions_are_removed(tmp_path: Path) -> None:
    ours, another = SharedMemory(tmp_path), SharedMemory(tmp_path)
    before = names(tmp_path)
    (tmp_path / f"{ours.prefix}1").touch()
    theirs = [tmp_path / f"{another.prefix}1", tmp_path / "triton_python_backend_shm_region_1"]
    for path in theirs:
        path.touch()
    ours.clear()
    assert names(tmp_path) == before | {path.name for path in theirs}
    another.close()
    ours.close()
    assert names(tmp_path) == {"triton_python_backend_shm_region_1"}


def test_what_a_killed_launcher_left_is_removed_by_the_next(tmp_path: Path) -> None:
    killed = SharedMemory(tmp_path)
    (tmp_path / f"{killed.prefix}1").touch()
    os.close(killed._handle)  # as the kernel does for a process that was killed
    after = SharedMemory(tmp_path)
    assert not any(name.startswith(killed.prefix) for name in names(tmp_path))
    after.close()
    assert names(tmp_path) == set()


def test_what_a_living_launcher_uses_stays(tmp_path: Path) -> None:
    living = SharedMemory(tmp_path)
    region = tmp_path / f"{living.prefix}1"
    region.touch()
    SharedMemory(tmp_path).close()
    assert region.exists()
    living.close()


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeStopped, match=r"Triton needs .*shm for its shared memory"):
        SharedMemory(tmp_path / "shm")
