"""A socket over which a running service is told to reload: one word in, one line out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from runtime.errors import NotReady, ReloadFailed, RuntimeStopped

SOCKET = "control"
_RELOAD = b"reload\n"
_OK, _ERROR = "ok: ", "error: "


@contextlib.asynccontextmanager
async def listening(folder: Path, reload: Callable[[], Awaitable[str]]) -> AsyncIterator[None]:
    """Takes commands at `folder` while the block runs. Raises `RuntimeStopped` where that cannot be."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.readline() == _RELOAD:
                try:
                    line = _OK + await reload()
                except RuntimeStopped as error:
                    line = _ERROR + str(error)
                writer.write(line.encode() + b"\n")
                await writer.drain()
        except OSError:
            pass  # who asked is gone
        finally:
            writer.close()

    path = folder / SOCKET
    path.unlink(missing_ok=True)
    try:
        server = await asyncio.start_unix_server(serve, path)
    except OSError as error:
        raise RuntimeStopped(f"{path} cannot be listened at: {error}; set TMPDIR to another folder.") from error
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def tell_to_reload(folder: Path) -> str:
    """What the service at `folder` says of its reload. Raises `ReloadFailed`, `NotReady` where none is there."""
    try:
        reader, writer = await asyncio.open_unix_connection(folder / SOCKET)
    except OSError:
        raise NotReady(
            "No service of this user runs with this TRITON_HTTP_PORT; `make run` starts one on the newest export."
        ) from None
    try:
        writer.write(_RELOAD)
        line = (await reader.readline()).decode().rstrip("\n")
    except OSError:
        line = ""
    finally:
        writer.close()
    if line.startswith(_OK):
        return line.removeprefix(_OK)
    raise ReloadFailed(line.removeprefix(_ERROR) or "The service ended before it had reloaded.")
