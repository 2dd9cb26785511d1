"""The socket over which a service is told to reload, and the folder that it stands in."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from runtime.control import SOCKET, listening, tell_to_reload
from runtime.errors import NotReady, ReloadFailed, RuntimeStopped
from runtime.launch_folder import service_folder


async def told(folder: Path, reload: Callable[[], Awaitable[str]]) -> str:
    async with listening(folder, reload):
        return await tell_to_reload(folder)


async def test_what_came_of_it_is_answered(tmp_path: Path) -> None:
    async def reload() -> str:
        return "두 번째 모델"

    assert await told(tmp_path, reload) == "두 번째 모델"
    assert not (tmp_path / SOCKET).exists()


async def test_why_it_could_not_be_is_answered(tmp_path: Path) -> None:
    async def reload() -> str:
        raise ReloadFailed("It did not load.")

    with pytest.raises(ReloadFailed, match=r"^It did not load\.$"):
        await told(tmp_path, reload)


async def test_a_service_that_ends_meanwhile(tmp_path: Path) -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_unix_server(close, tmp_path / SOCKET):
        with pytest.raises(ReloadFailed, match="ended before"):
            await tell_to_reload(tmp_path)


@pytest.mark.parametrize("left_over", [False, True])
async def test_no_service(tmp_path: Path, left_over: bool) -> None:
    if left_over:  # by one that was killed
        (tmp_path / SOCKET).touch()
    with pytest.raises(NotReady, match="TRITON_HTTP_PORT"):
        await tell_to_reload(tmp_path)


async def test_a_socket_that_was_left_over_is_replaced(tmp_path: Path) -> None:
    async def reload() -> str:
        return "done"

    (tmp_path / SOCKET).touch()
    assert await told(tmp_path, reload) == "done"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"sentence-embedding-{os.getuid()}"


def test_the_folder_is_this_users_alone(temporary: Path) -> None:
    assert service_folder(8000) == temporary / "8000"
    assert service_folder(8000).is_dir()
    assert temporary.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_enter_is_refused(temporary: Path) -> None:
    temporary.mkdir(mode=0o755)
    with pytest.raises(RuntimeStopped, match="mode 700"):
        service_folder(8000)


def test_a_link_to_elsewhere_is_refused(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    temporary.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RuntimeStopped, match="mode 700"):
        service_folder(8000)
