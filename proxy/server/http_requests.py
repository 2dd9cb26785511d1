"""Bytes to requests: httptools' parser, with bounds on what it would keep, and without upgrades.

A client may ask to go on in another protocol (`Upgrade: h2c` of JDK's HttpClient and of `curl --http2`, `websocket`). A
server may ignore that, and the request is then as any other, with its body. httptools ends such a request at its head,
and would take its body for the next request.
"""

from typing import Any, Protocol
from urllib.parse import unquote

import httptools

from proxy.refusals import Refusal
from proxy.server.http_limits import BAD_REQUEST, LARGE_HEAD, Limits

# Where the next request may begin is known only when it does: so much is looked at before the queue is, too.
_HEAD_PIECE, _CHUNKS_PIECE = 1024, 4096


class Listener(Protocol):
    """Whom the parser tells what comes, in order."""

    def head_begins(self) -> None:
        """The first byte of a request."""

    def head_came(self, scope: dict[str, Any], url: bytes, keep_alive: bool, awaits_continue: bool) -> Refusal | None:
        """A whole head; the request is ended by what is returned."""

    def body_came(self, body: bytes) -> None:
        """A piece of the body."""

    def request_came(self) -> bool:
        """The end of the request; False where no other may follow."""


class _Refused(Exception):
    """Ends the parser's work; httptools hands it on as an error of its own."""


class RequestParser:
    """Of one connection. `ended`: the last request has come."""

    def __init__(self, listener: Listener, limits: Limits, asgi_version: str) -> None:
        self._listener = listener
        self._limits = limits
        self._asgi = {"version": asgi_version, "spec_version": "2.3"}
        self._loose = 0  # bytes since the last one of a body, or since the last request ended
        self.begun = self.ended = False  # `begun`: of a request some has come, and not all of its head
        self._make_parser()
        self._reset()

    def _make_parser(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        # What follows a request with `Connection: close` is no error: nobody reads it.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed = self._parser.feed_data

    def _reset(self) -> None:
        self.url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers = 0
        self._in_body = self._upgrade = self._awaits_continue = False
        self._body_left: int | None = None  # of a body of known length
        self._length = 0
        self._chunked = False
        self._refusal: Refusal | None = None

    @property
    def method(self) -> str:
        """Of the request that is parsed; empty where it is not known."""
        return self._parser.get_method().decode("ascii", "replace") if self.url else ""

    def piece(self) -> int:
        """How many of the bytes that have come may be fed: few, where a request may begin among them."""
        if self._in_body:
            return _CHUNKS_PIECE if self._body_left is None else max(self._body_left, 1)
        return _HEAD_PIECE

    def feed(self, piece: bytes | memoryview) -> tuple[bytes, Refusal | None]:
        """What of the piece is to be fed once more, and what the connection is ended with, if it is."""
        self._loose += len(piece)
        try:
            self._feed(piece)
        except httptools.HttpParserUpgrade as upgrade:
            return self._as_if_without(bytes(piece[upgrade.args[0] :]))
        except httptools.HttpParserError:
            return b"", None if self.ended else self._refusal or BAD_REQUEST
        return b"", LARGE_HEAD if self._loose > self._limits.head_bytes else None

    def _as_if_without(self, rest: bytes) -> tuple[bytes, Refusal | None]:
        """Parses the head again without its `Upgrade`."""
        version = self._parser.get_http_version()
        lines = [b"%s %s HTTP/%s" % (self._parser.get_method(), self.url, version.encode("ascii"))]
        lines += [b"%s: %s" % header for header in self._headers if header[0] != b"upgrade"]
        self._make_parser()
        self._loose = 0
        _, refusal = self.feed(b"\r\n".join([*lines, b"", b""]))
        return rest, refusal

    # httptools calls these.

    def on_message_begin(self) -> None:
        """The first byte."""
        if self.ended:
            raise _Refused
        self._reset()
        if not self.begun:
            self.begun = True
            self._listener.head_begins()

    def on_url(self, url: bytes) -> None:
        """A piece of it."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of the head, or of the trailers behind the last chunk: those are counted, and dropped."""
        if self._in_body:
            self._trailers += 1
        else:
            name = name.lower()
            self._headers.append((name, value))
        if len(self._headers) + self._trailers > self._limits.headers:
            self._refuse_head()
        if self._in_body:
            return
        if name == b"content-length":
            self._length = int(value)
        elif name == b"transfer-encoding":
            self._chunked = True
        elif name == b"expect" and value.lower() == b"100-continue":
            self._awaits_continue = True

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _refuse_head(self) -> None:
        self._refusal = LARGE_HEAD
        raise _Refused

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._loose > self._limits.head_bytes and self._head_size() > self._limits.head_bytes:
            self._refuse_head()
        method, version = self._parser.get_method(), self._parser.get_http_version()
        if self._parser.should_upgrade():
            if method == b"CONNECT":  # what follows would be for another server
                raise _Refused
            self._upgrade = True
            return
        self._in_body, self.begun, self._loose = True, False, 0
        self._body_left = None if self._chunked else self._length
        parsed = httptools.parse_url(self.url)
        raw_path = parsed.path or b"/"
        path = raw_path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": self._asgi,
            "http_version": version,
            "method": method.decode("ascii"),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": parsed.query or b"",
            "root_path": "",
            "headers": self._headers,
        }
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        awaits_continue = self._awaits_continue and version == "1.1" and (self._chunked or self._length > 0)
        self._refusal = self._listener.head_came(scope, self.url, keep_alive, awaits_continue)
        if self._refusal is not None:
            raise _Refused

    def on_body(self, body: bytes) -> None:
        """A piece."""
        self._loose = 0
        if self._body_left is not None:
            self._body_left -= len(body)
        self._listener.body_came(body)

    def on_message_complete(self) -> None:
        """The end of a request, or of the head of one that asks for an upgrade."""
        if self._upgrade:
            return
        self._in_body, self._loose = False, 0
        self.ended = not self._listener.request_came()
