"""Fixtures that more than one folder of tests needs."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small stand-in model in sentence-transformers layout: BERT, a Unigram tokenizer, no Normalize module."""
    from export.stand_in import SMALL, write_stand_in

    folder = tmp_path_factory.mktemp("models") / "small-stand-in"
    write_stand_in(folder, SMALL)
    return folder
