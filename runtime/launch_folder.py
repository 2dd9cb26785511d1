"""Places that a start needs: the export that is to be served, and a folder of this user's own for one service."""

import os
import stat
import tempfile
from pathlib import Path

from runtime.errors import NotReady, RuntimeStopped
from runtime.layout import check_path
from runtime.settings import Settings


def find_repository(settings: Settings) -> Path:
    """The folder that MODEL_REPOSITORY leads to now, all links followed.

    Raises `NotReady` where there is none, `TritonMissing` where Triton cannot take its path.
    """
    repository = settings.repository.resolve()
    if not repository.is_dir():
        raise NotReady(f"MODEL_REPOSITORY names {settings.repository}, which is not there: run `make export`.")
    check_path(repository, "MODEL_REPOSITORY")
    return repository


def service_folder(port: int) -> Path:
    """`<temporary folder>/sentence-embedding-<user>/<port>`, which this user alone may enter.

    `port` is Triton's HTTP port, which no two services share. Raises `RuntimeStopped` where it cannot be made, or is
    somebody else's, and `TritonMissing` where Triton cannot take its path.
    """
    own = Path(tempfile.gettempdir()) / f"sentence-embedding-{os.getuid()}"
    check_path(own, "The temporary folder (TMPDIR)")
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        found = own.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise RuntimeStopped(f"{own} must be a folder that belongs to this user, with mode 700: remove it.")
        folder = own / str(port)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RuntimeStopped(f"{own} cannot be written to: {error.strerror}; set TMPDIR to another folder.") from error
    return folder
