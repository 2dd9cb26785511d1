"""No file of an exported repository is a pickle that Python would unpickle, and TorchScript's own names no code."""

import os
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from export.placement import ensure_exported
from export.settings import Precision, Settings

# What TorchScript's C++ reader knows: its own classes, and how tensors and lists are put together again.
NAMED = re.compile(
    r"__torch__\.\S+ \S+|torch\._utils _rebuild_\w+|torch\.jit\._pickle \w+|torch (\w+Storage|per_\w+_affine)|"
    r"collections OrderedDict"
)


@pytest.fixture(scope="module", params=get_args(Precision))
def repository(request: pytest.FixtureRequest, small_stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    link = tmp_path_factory.mktemp("exported") / "model_repository"
    ensure_exported(Settings(model=str(small_stand_in), precision=request.param, model_repository=link), if_needed=True)
    return link.resolve()


def test_torchscript_is_the_only_file_with_pickles(repository: Path) -> None:
    for path in (path for path in repository.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            assert file.read(1) != b"\x80", f"{path.name} begins as a pickle does"
        assert path.name == "model.pt" or not zipfile.is_zipfile(path)


def test_the_pickles_of_torchscript_name_its_own_classes_alone(repository: Path) -> None:
    with zipfile.ZipFile(repository / "encoder" / "1" / "model.pt") as archive:
        pickles = [name for name in archive.namelist() if name.endswith(".pkl")]
        assert {name.rpartition("/")[2] for name in pickles} >= {"data.pkl", "constants.pkl"}
        for name in pickles:
            for operation, argument, _ in pickletools.genops(archive.read(name)):
                assert operation.name not in ("STACK_GLOBAL", "INST"), name
                assert operation.name != "GLOBAL" or NAMED.fullmatch(str(argument)), (name, argument)


class Planted:
    """Unpickled by Python, it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


def test_loading_a_planted_pickle_runs_nothing(tmp_path: Path) -> None:
    torch.save(Planted(tmp_path / "made"), tmp_path / "model.pt")
    with pytest.raises(RuntimeError), pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.load(str(tmp_path / "model.pt"), map_location="cpu")
    assert not (tmp_path / "made").exists()
