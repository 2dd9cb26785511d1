"""A repository that is not what the export wrote is told with the file that differs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from export.digests import seal
from runtime.digests import NAME, check_digests
from runtime.errors import RepositoryChanged


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    for name in ("encoder/1/model.pt", "encoder/config.pbtxt", "모델/1/두 단어.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    (folder / "sentence_embedding" / "1").mkdir(parents=True)  # a folder without a file
    seal(folder)
    return folder


def test_what_was_written_is_taken(repository: Path) -> None:
    check_digests(repository)
    seal(repository)
    check_digests(repository)


def test_anyone_can_check_it_with_the_tools_of_a_shell(repository: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", NAME], cwd=repository, check=True)


def truncate(repository: Path) -> None:
    os.truncate(repository / "encoder" / "1" / "model.pt", 5)


def change_one_byte(repository: Path) -> None:
    with (repository / "encoder" / "1" / "model.pt").open("r+b") as file:
        file.write(b"C")


def remove(repository: Path) -> None:
    (repository / "encoder" / "1" / "model.pt").unlink()


def empty_digests(repository: Path) -> None:
    (repository / NAME).write_text("")


def cut_digests(repository: Path) -> None:
    os.truncate(repository / NAME, 100)


def remove_digests(repository: Path) -> None:
    (repository / NAME).unlink()


def add_version(repository: Path) -> None:
    (repository / "encoder" / "2").mkdir()
    (repository / "encoder" / "2" / "model.py").write_text("")


def add_broken_link(repository: Path) -> None:
    (repository / "encoder" / "1" / "model.py").symlink_to("/nowhere")


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (truncate, "encoder/1/model.pt is not as it was exported"),
        (change_one_byte, "encoder/1/model.pt is not as it was exported"),
        (remove, "encoder/1/model.pt is missing"),
        (add_version, "encoder/2/model.py is not of the export"),
        (add_broken_link, "encoder/1/model.py is not of the export"),
        (empty_digests, "SHA256SUMS is not as it was written"),
        (cut_digests, "SHA256SUMS is not as it was written"),
        (remove_digests, "has no SHA256SUMS"),
    ],
)
def test_what_was_harmed_is_named(repository: Path, harm: Callable[[Path], None], named: str) -> None:
    harm(repository)
    with pytest.raises(RepositoryChanged) as raised:
        check_digests(repository)
    sentence = str(raised.value)
    assert named in sentence
    assert sentence.endswith("run `make export`.")
    assert "\n" not in sentence


def test_python_keeps_no_bytecode_there(repository: Path) -> None:
    (repository / "tokenizer" / "1").mkdir(parents=True)
    (repository / "tokenizer" / "1" / "model.py").write_text("name = 'tokenizer'\n")
    seal(repository)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", "import model; print(model.name)"]
    folder = repository / "tokenizer" / "1"
    said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("tokenizer\n", "")
    check_digests(repository)
