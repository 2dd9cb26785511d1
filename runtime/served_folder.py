"""The folder that Triton reads: links to the files of an export, and of two while one takes the place of the other.

<folder>/
    tokenizer/, encoder/, pooling/   config.pbtxt, warmup, and a version's folder for each of the exports
    sentence_embedding/              the ensemble of the export that serves, which names the versions of its steps

Configurations are copies with a time of their own: Triton reads one again only where it is newer than the last.
"""

import os
import shutil
import time
from pathlib import Path

ENSEMBLE = "sentence_embedding"
_CONFIG = "config.pbtxt"
_STEP_NS = 1_000_000_000  # more than any file system rounds times to


class ServedFolder:
    """Made anew for each start of Triton; of one export until `add`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stamp_ns = 0

    def make(self, repository: Path) -> None:
        """Serves `repository`, an export, and nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for model in _models(repository):
            self._put(repository / model)

    def steps(self) -> list[str]:
        """The models beside the ensemble, by name."""
        return [model for model in _models(self.folder) if model != ENSEMBLE]

    def add(self, repository: Path) -> None:
        """Puts the steps of a further export beside those that are there."""
        for step in _models(repository):
            if step != ENSEMBLE:
                self._put(repository / step)

    def move(self, repository: Path) -> None:
        """Puts the ensemble of `repository` in the place of the one before."""
        shutil.rmtree(self.folder / ENSEMBLE)
        self._put(repository / ENSEMBLE)

    def remove(self, repository: Path) -> None:
        """Takes the versions of an export away that another one took the place of."""
        for model in _models(repository):
            for version in _versions(repository / model):
                link = self.folder / model / version.name
                if link.is_symlink() and link.resolve() == version.resolve():
                    link.unlink()

    def _put(self, source: Path) -> None:
        """A model of an export: what all versions share in the place of what was there, its own version beside."""
        target = self.folder / source.name
        target.mkdir(exist_ok=True)
        for path in source.iterdir():
            if path.name != _CONFIG:
                _link(path, target / path.name)
        config = target / _CONFIG
        shutil.copyfile(source / _CONFIG, config)
        self._stamp_ns = max(time.time_ns(), self._stamp_ns + _STEP_NS)  # later than the last, whatever the clock does
        os.utime(config, ns=(self._stamp_ns, self._stamp_ns))


def _models(repository: Path) -> list[str]:
    """By name."""
    return sorted(path.parent.name for path in repository.glob(f"*/{_CONFIG}"))


def _versions(model: Path) -> list[Path]:
    return [path for path in model.iterdir() if path.name.isdigit()]


def _link(source: Path, target: Path) -> None:
    """Replaces in one step: Triton may read meanwhile."""
    fresh = target.with_name(f".{target.name}.new")
    fresh.symlink_to(source)
    fresh.replace(target)
