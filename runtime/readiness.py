"""Asks Triton and the proxy whether they are up, with as little HTTP as that takes."""

import asyncio
import json
import re
from typing import Any, NamedTuple

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


async def ask(address: str, port: int, path: str, body: bytes = b"") -> Answer | None:
    """GET `path` from the numeric `address`, or POST `body` there; None where nothing (or no HTTP) answers in time."""
    try:
        return await asyncio.wait_for(_ask(address, port, path, body), ASK_TIMEOUT_SECONDS)
    except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError, asyncio.TimeoutError):
        return None


async def listens(address: str, port: int) -> bool:
    """Whether a connection to the numeric `address` is taken."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), ASK_TIMEOUT_SECONDS)
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return True


async def _ask(address: str, port: int, path: str, body: bytes) -> Answer:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        head = (
            f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {authority(address, port)}\r\nConnection: close\r\n"
        )
        if body:
            head += f"Content-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n" + body)
        answered = await reader.readuntil(b"\r\n\r\n")
        status = int(answered.split(b" ", 2)[1])
        length = _CONTENT_LENGTH.search(answered)
        return Answer(status, await reader.readexactly(int(length[1])) if length else b"")
    finally:
        writer.close()


def authority(address: str, port: int) -> str:
    """`host:port` for a URL.

    >>> authority("127.0.0.1", 8001), authority("::1", 8001)
    ('127.0.0.1:8001', '[::1]:8001')
    """
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
