"""Exports side by side, and the link that says which one serves."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.__main__ import main
from export.errors import ExportError, RepositoryNotWritten
from export.placement import ensure_exported
from export.repository import read_config
from export.settings import Precision, Settings
from runtime.digests import check_digests
from runtime.layout import hold
from tests.waiting import wait_until


def settings_for(model: Path | str, build: Path, precision: Precision = "float32") -> Settings:
    return Settings(model=str(model), precision=precision, model_repository=build / "model_repository")


def parameters(link: Path) -> dict[str, str]:
    config = read_config(link / "sentence_embedding" / "config.pbtxt")
    return {name: value.string_value for name, value in config.parameters.items()}


def test_what_the_repository_says_of_its_model(small_stand_in: Path, tmp_path: Path) -> None:
    ensure_exported(settings_for(small_stand_in, tmp_path), if_needed=False)
    said = parameters(tmp_path / "model_repository")
    assert said["model_name"] == "small-stand-in"
    assert said["model_revision"].startswith("sha256-")
    assert (said["dimension"], said["max_seq_length"], said["normalizes"]) == ("64", "128", "false")
    assert (said["precision"], said["torch_version"].split("+")[0]) == ("float32", "2.13.0")
    assert len(said["exporter_version"]) == 12
    assert (tmp_path / "model_repository" / "encoder" / "1" / "model.pt").exists()
    check_digests((tmp_path / "model_repository").resolve())


def test_if_needed_exports_once_and_again_on_a_change(small_stand_in: Path, tmp_path: Path) -> None:
    link = tmp_path / "model_repository"
    ensure_exported(settings_for(small_stand_in, tmp_path), if_needed=True)
    first, written = link.resolve(), (link / "encoder" / "1" / "model.pt").stat().st_mtime_ns
    ensure_exported(settings_for(small_stand_in, tmp_path), if_needed=True)
    assert (link / "encoder" / "1" / "model.pt").stat().st_mtime_ns == written, "nothing was exported twice"
    ensure_exported(settings_for(small_stand_in, tmp_path, "float16"), if_needed=True)
    assert parameters(link)["precision"] == "float16"
    assert first.is_dir(), "the export before stays, for a way back"
    ensure_exported(settings_for(small_stand_in, tmp_path), if_needed=True)
    assert link.resolve() == first
    assert (link / "encoder" / "1" / "model.pt").stat().st_mtime_ns == written


def test_only_the_last_two_exports_are_kept(small_stand_in: Path, tmp_path: Path) -> None:
    precisions: tuple[Precision, ...] = ("float32", "float16", "int8")
    for precision in precisions:
        ensure_exported(settings_for(small_stand_in, tmp_path, precision), if_needed=True)
    kept = sorted(path.name.split("-")[3] for path in (tmp_path / "repositories").iterdir())
    assert kept == ["float16", "int8"]


def test_an_export_that_is_served_stays(small_stand_in: Path, tmp_path: Path) -> None:
    ensure_exported(settings_for(small_stand_in, tmp_path), if_needed=True)
    served = (tmp_path / "model_repository").resolve()
    handle = hold(served)
    precisions: tuple[Precision, ...] = ("float16", "int8")
    for precision in precisions:
        ensure_exported(settings_for(small_stand_in, tmp_path, precision=precision), if_needed=True)
    assert len(list((tmp_path / "repositories").iterdir())) == 3
    os.close(handle)
    ensure_exported(settings_for(small_stand_in, tmp_path, precision="int8"), if_needed=True)
    assert not served.exists()


def test_a_failed_export_leaves_the_earlier_one(small_stand_in: Path, tmp_path: Path) -> None:
    ensure_exported(settings_for(small_stand_in, tmp_path), if_needed=True)
    before = (tmp_path / "model_repository").resolve()
    broken = tmp_path / "broken"
    shutil.copytree(small_stand_in, broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ExportError):
        ensure_exported(settings_for(broken, tmp_path), if_needed=True)
    assert (tmp_path / "model_repository").resolve() == before
    assert [path.name for path in (tmp_path / "repositories").iterdir()] == [before.name]


def test_a_killed_export_leaves_the_earlier_one(small_stand_in: Path, tmp_path: Path) -> None:
    ensure_exported(settings_for(small_stand_in, tmp_path), if_needed=True)
    link = tmp_path / "model_repository"
    before = link.resolve()
    environment = os.environ | {"MODEL": str(small_stand_in), "PRECISION": "int8", "MODEL_REPOSITORY": str(link)}
    child = subprocess.Popen([sys.executable, "-m", "export"], env=environment, stdout=subprocess.DEVNULL)
    wait_until(lambda: list((tmp_path / "repositories").glob(".staging-*")) or child.poll() is not None)
    assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert link.resolve() == before
    ensure_exported(settings_for(small_stand_in, tmp_path), if_needed=True)
    assert not list((tmp_path / "repositories").glob(".*")), "what the killed one left is cleared away"


def test_a_folder_where_the_link_must_stand_is_refused(small_stand_in: Path, tmp_path: Path) -> None:
    (tmp_path / "model_repository").mkdir()
    with pytest.raises(RepositoryNotWritten, match="must be a link"):
        ensure_exported(settings_for(small_stand_in, tmp_path), if_needed=True)


def test_the_command_tells_a_bad_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PRECISION", "float8")
    assert main([]) == 2
    assert "PRECISION" in capsys.readouterr().err


def test_the_fallback_is_taken_with_a_warning(
    small_stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("MODEL_REPOSITORY", str(tmp_path / "model_repository"))
    monkeypatch.delenv("MODEL", raising=False)
    assert main(["--if-needed"]) == 1
    assert "three ways" in capsys.readouterr().err
    assert not (tmp_path / "model_repository").exists(), "without --fallback there is no other model"
    assert main(["--if-needed", "--fallback", str(small_stand_in)]) == 0
    assert "WARNING" in capsys.readouterr().err
    assert parameters(tmp_path / "model_repository")["model_name"] == "small-stand-in"
