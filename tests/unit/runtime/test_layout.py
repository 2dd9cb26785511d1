"""The folder that Triton starts from, made of a small stand-in for the wheel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import TritonMissing
from runtime.layout import OWN_BACKENDS, Layout, check_path, lay_out
from runtime.settings import PROJECT_ROOT
from runtime.wheel import TritonWheel


@pytest.fixture
def wheel(tmp_path: Path) -> TritonWheel:
    folder = tmp_path / "wheel"
    (folder / "python").mkdir(parents=True)
    (folder / "libs").mkdir()
    for name in ("python/libtriton_python.so", "python/triton_python_backend_utils.py", "stub", "server"):
        (folder / name).write_text(f"# {name}\n")
    for name in ("libb64-98cb6333.so.0d", "libcudart-09529672.so.12.6.77", "libssl-57118d4e.so.3"):
        (folder / "libs" / name).write_text(name)
    return TritonWheel(folder / "server", folder / "python", folder / "stub", folder / "libs")


@pytest.fixture
def libpython(tmp_path: Path) -> Path:
    path = tmp_path / "libpython3.11.so.1.0"
    path.write_text("library")
    return path


def release(layout: Layout) -> None:
    """What the end of a process does."""
    os.close(layout.handle)


def test_everything_is_in_its_place(wheel: TritonWheel, libpython: Path, tmp_path: Path) -> None:
    layout = lay_out(wheel, libpython, tmp_path / "triton")
    python = layout.backends / "python"
    assert os.access(python / "triton_python_backend_stub", os.X_OK)
    utilities = (python / "triton_python_backend_utils.py").read_text()
    assert utilities.startswith("# python/triton_python_backend_utils.py\n")
    assert utilities.endswith("numpy2.repair(c_python_backend_utils)\n")
    assert "stub_parent.end_with_parent()\n" in utilities
    for name in ("python/numpy2.py", "python/stub_parent.py", "pytorch/model.py", "pytorch/encoder_kernels.py"):
        assert (layout.backends / name).read_text() == (OWN_BACKENDS / name).read_text()
    # Triton refuses a library that is a link out of the backend's folder.
    assert not any(path.is_symlink() for path in layout.backends.rglob("*"))
    assert (layout.libraries / "libpython3.11.so.1.0").resolve() == libpython
    assert {path.name for path in layout.perf_libraries.iterdir()} == {"libb64.so.0d", "libcudart.so.12"}
    assert list(layout.work.iterdir()) == []
    release(layout)


def test_nothing_is_made_twice(wheel: TritonWheel, libpython: Path, tmp_path: Path) -> None:
    first = lay_out(wheel, libpython, tmp_path / "triton")
    made = (first.backends / "python" / "libtriton_python.so").stat().st_ino
    second = lay_out(wheel, libpython, tmp_path / "triton")
    assert (second.backends / "python" / "libtriton_python.so").stat().st_ino == made
    release(first)
    release(second)


def test_one_that_an_image_brings_is_used_though_nothing_can_be_written(
    wheel: TritonWheel, libpython: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(lay_out(wheel, libpython, tmp_path / "triton"))
    (tmp_path / "triton" / ".lock").unlink()
    os.utime(wheel.stub, (1, 1))  # times do not survive a registry
    monkeypatch.setattr(os, "access", lambda *_: False)  # for root, who runs these tests here and there, too
    release(lay_out(wheel, libpython, tmp_path / "triton"))
    assert not (tmp_path / "triton" / ".lock").exists()


def test_a_changed_source_makes_a_new_one_and_the_old_one_stays_while_in_use(
    wheel: TritonWheel, libpython: Path, tmp_path: Path
) -> None:
    first = lay_out(wheel, libpython, tmp_path / "triton")
    wheel.stub.write_text("another stub")
    second = lay_out(wheel, libpython, tmp_path / "triton")
    assert (second.backends / "python" / "triton_python_backend_stub").read_text() == "another stub"
    assert first.folder.is_dir()
    release(first)
    release(lay_out(wheel, libpython, tmp_path / "triton"))
    assert not first.folder.exists()
    assert second.folder.is_dir()
    release(second)


def test_what_an_interrupted_start_left_is_replaced(wheel: TritonWheel, libpython: Path, tmp_path: Path) -> None:
    layout = lay_out(wheel, libpython, tmp_path / "triton")
    release(layout)
    layout.folder.rename(layout.folder.with_name(f"{layout.folder.name}.unfinished"))
    again = lay_out(wheel, libpython, tmp_path / "triton")
    assert (again.backends / "pytorch" / "model.py").is_file()
    assert [path.name for path in (tmp_path / "triton").iterdir() if path.is_dir()] == [again.folder.name]
    release(again)


def test_starts_that_race_share_one(wheel: TritonWheel, libpython: Path, tmp_path: Path) -> None:
    (wheel.python_backend / "libtriton_python.so").write_bytes(bytes(30_000_000))  # so that copying takes a while
    code = (
        "import sys; from pathlib import Path\n"
        "from runtime.layout import lay_out; from runtime.wheel import TritonWheel\n"
        "*wheel, libpython, root = map(Path, sys.argv[1:])\n"
        "print('set', flush=True); sys.stdin.readline()\n"
        "layout = lay_out(TritonWheel(*wheel), libpython, root)\n"
        "print(layout.folder, sorted(p.name for p in layout.folder.rglob('*') if not p.is_dir()))"
    )
    parts = [wheel.server, wheel.python_backend, wheel.stub, wheel.libraries, libpython, tmp_path / "triton"]
    command = [sys.executable, "-c", code, *map(str, parts)]
    starts = [
        subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for start in starts:
        assert start.stdout is not None
        assert start.stdout.readline() == "set\n"
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("go\n")
        start.stdin.flush()
    said = {start.communicate(timeout=30)[0] for start in starts}
    assert [start.returncode for start in starts] == [0] * 6
    assert len(said) == 1
    assert "triton_python_backend_stub" in said.pop()


def test_a_wheel_that_lacks_a_library_is_told(wheel: TritonWheel, libpython: Path, tmp_path: Path) -> None:
    (wheel.libraries / "libb64-98cb6333.so.0d").unlink()
    with pytest.raises(TritonMissing, match=r"lacks libb64-\*\.so\.0d"):
        lay_out(wheel, libpython, tmp_path / "triton")


@pytest.mark.parametrize("path", ["/home/my projects/x", "/x;rm", "/x$(id)", "/x'y", "/x\ny"])
def test_a_path_that_a_shell_would_read_is_refused(path: str) -> None:
    with pytest.raises(TritonMissing, match=r"MODEL_REPOSITORY is .*no path with spaces"):
        check_path(Path(path), "MODEL_REPOSITORY")


@pytest.mark.parametrize("path", ["/home/me/build/all-MiniLM-L6-v2@1+a,b:c=d%~", "/홈/모델"])
def test_other_paths_are_taken(path: str) -> None:
    check_path(Path(path), "MODEL_REPOSITORY")
