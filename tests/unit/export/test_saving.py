"""A disk that is full while an export writes its large files."""

import errno
from pathlib import Path

import pytest
import torch

from export.conversion import save_script

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def test_a_full_disk_is_an_error_of_the_system() -> None:
    script = torch.jit.script(torch.nn.Linear(4, 4))
    with pytest.raises(OSError, match="No space left") as full:
        save_script(script, Path("/dev/full"))
    assert full.value.errno == errno.ENOSPC
