"""The folder that Triton reads, while one export takes the place of another."""

from pathlib import Path

import pytest

from runtime.served_folder import ServedFolder

STEPS = ("encoder", "tokenizer")


def export(folder: Path, version: int) -> Path:
    for model in (*STEPS, "sentence_embedding"):
        (folder / model / str(version)).mkdir(parents=True)
        (folder / model / "config.pbtxt").write_text(f"{model} of {version}")
    (folder / "encoder" / str(version) / "model.pt").write_text(f"weights {version}")
    (folder / "encoder" / "warmup").mkdir()
    (folder / "encoder" / "warmup" / "mask").write_text(f"mask {version}")
    (folder / "SHA256SUMS").write_text("")
    return folder


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return export(tmp_path / "first", 1)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return export(tmp_path / "second", 2)


def listed(folder: Path) -> set[str]:
    """What Triton finds, links followed."""
    return {str(path.relative_to(folder)) for path in folder.glob("*/*")} | {path.name for path in folder.iterdir()}


def test_one_export_is_served_whole(first: Path, tmp_path: Path) -> None:
    served = ServedFolder(tmp_path / "served")
    served.make(first)
    assert listed(served.folder) == listed(first) - {"SHA256SUMS"}
    assert (served.folder / "encoder" / "1" / "model.pt").read_text() == "weights 1"


def test_two_exports_side_by_side_and_then_the_second_alone(first: Path, second: Path, tmp_path: Path) -> None:
    served = ServedFolder(tmp_path / "served")
    served.make(first)
    served.add(second)
    for version in ("1", "2"):
        assert (served.folder / "encoder" / version / "model.pt").read_text() == f"weights {version}"
    assert (served.folder / "sentence_embedding" / "config.pbtxt").read_text() == "sentence_embedding of 1"
    assert served.steps() == list(STEPS)
    served.move(second)
    assert (served.folder / "sentence_embedding" / "config.pbtxt").read_text() == "sentence_embedding of 2"
    assert [path.name for path in (served.folder / "sentence_embedding").iterdir() if path.is_dir()] == ["2"]
    served.remove(first)
    assert listed(served.folder) == listed(second) - {"SHA256SUMS"}
    assert (first / "encoder" / "1" / "model.pt").exists(), "links go, and nothing of the export"


def test_each_configuration_is_newer_than_the_last_whatever_the_clock_says(
    first: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton reads only those again; the way back to an older export must be one of them."""
    served = ServedFolder(tmp_path / "served")
    times = iter([10**18, 10**18, 10**18, *([10**17] * 99)])
    monkeypatch.setattr("runtime.served_folder.time.time_ns", lambda: next(times))
    config = served.folder / "sentence_embedding" / "config.pbtxt"
    served.make(first)
    seen = [config.stat().st_mtime_ns]
    for repository in (second, first, second):
        served.add(repository)
        served.move(repository)
        seen.append(config.stat().st_mtime_ns)
    assert seen == sorted(set(seen))


def test_it_is_made_anew(first: Path, second: Path, tmp_path: Path) -> None:
    served = ServedFolder(tmp_path / "served")
    served.make(first)
    served.add(second)
    served.make(second)
    assert listed(served.folder) == listed(second) - {"SHA256SUMS"}
