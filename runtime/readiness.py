"""Asks Triton and the proxy whether they are up, with as little HTTP as that takes."""

import asyncio
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from runtime.time_limit import within

ASK_TIMEOUT_SECONDS = 5.0
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Answer(NamedTuple):
    """What came back from one question."""

    status: int
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object; empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


async def ask(
    address: str,
    port: int,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    seconds: float = ASK_TIMEOUT_SECONDS,
) -> Answer | None:
    """GET `path` from the numeric `address`, or POST `body` there; None where nothing (or no HTTP) answers in time."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"Host: {authority(address, port)}"]
    lines += ["Connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    request = "\r\n".join([*lines, "", ""]).encode() + (body or b"")
    try:
        return await within(seconds, _ask(address, port, request))
    except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError, asyncio.TimeoutError):
        return None


async def listens(address: str, port: int) -> bool:
    """Whether a connection to the numeric `address` is taken."""
    try:
        _, writer = await within(ASK_TIMEOUT_SECONDS, asyncio.open_connection(address, port))
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return True


async def _ask(address: str, port: int, request: bytes) -> Answer:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = _CONTENT_LENGTH.search(head)
        return Answer(status, await reader.readexactly(int(length[1])) if length else b"")
    finally:
        writer.close()


def authority(address: str, port: int) -> str:
    """`host:port` for a URL.

    >>> authority("127.0.0.1", 8001), authority("::1", 8001)
    ('127.0.0.1:8001', '[::1]:8001')
    """
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
