"""The shared memory that the Python backend makes: its names are ours, so that we, and only we, can remove what stays.

Triton removes its own when it stops in peace. Killed, it leaves them in /dev/shm. Each launcher has a prefix of its own
and holds a lock beside it; where nobody holds the lock, the launcher is dead and the next one clears up after it.
"""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from runtime.errors import RuntimeStopped

_NAME = "sentence-embedding-"
_LOCK = ".lock"


class SharedMemory:
    """The regions of one launcher's Triton."""

    def __init__(self, folder: Path = Path("/dev/shm")) -> None:
        self._folder = folder
        self.prefix = f"{_NAME}{secrets.token_hex(4)}-"
        self._lock = folder / f"{self.prefix}{_LOCK}"
        try:
            _remove_abandoned(folder)
            self._handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RuntimeStopped(f"Triton needs {folder} for its shared memory: {error.strerror}.") from error
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def clear(self) -> None:
        """Removes every region; to be called when no process of this Triton is left."""
        _remove(self._folder, self.prefix, but=self._lock)

    def close(self) -> None:
        """Clears, and gives the prefix up."""
        self.clear()
        self._lock.unlink(missing_ok=True)
        os.close(self._handle)


def _remove_abandoned(folder: Path) -> None:
    for lock in folder.glob(f"{_NAME}*{_LOCK}"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder, lock.name.removesuffix(_LOCK), but=lock)
                lock.unlink()
            finally:
                os.close(handle)


def _remove(folder: Path, prefix: str, but: Path) -> None:
    for region in folder.glob(f"{prefix}*"):
        if region != but:
            region.unlink(missing_ok=True)
