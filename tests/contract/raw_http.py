"""HTTP by hand over a socket, as a client without manners speaks it."""

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.contract.requests import EMBED


@dataclass(frozen=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """One connection."""

    def __init__(self, address: str, receive_buffer: int | None = None) -> None:
        parts = urlsplit(address)
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30)
        self.socket.connect((parts.hostname, parts.port))
        self._received = b""

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Each part on its own; what the server does not take any more is lost."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                self.socket.sendall(part)

    def answer(self, to_head: bool = False) -> Answer | None:
        """The next one; None where the server closes without any."""
        while b"\r\n\r\n" not in self._received:
            if not self._read():
                assert not self._received
                return None
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = 0 if to_head else int(headers["content-length"])
        while len(self._received) < length:
            assert self._read()
        body, self._received = self._received[:length], self._received[length:]
        return Answer(int(first.split()[1]), headers, body)

    def answers(self) -> list[Answer]:
        """All until the server closes."""
        return list(iter(self.answer, None))

    def is_closed(self) -> bool:
        """Waits until the server closes, and says whether it said nothing more before."""
        return not self._received and not self._read()

    def _read(self) -> bool:
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionResetError:
            return False
        self._received += piece
        return bool(piece)


def request(body: bytes = b"", *headers: str, method: str = "POST", path: str = EMBED, chunked: bool = False) -> bytes:
    """A whole request, its body in one chunk or with its length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    elif body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def text_request(text: str, *headers: str) -> bytes:
    """One text to embed."""
    return request(json.dumps({"text": text}).encode(), *headers)
