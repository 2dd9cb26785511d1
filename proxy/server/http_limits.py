"""What one client may take of the server, and what the server itself refuses: bounds, and the sentences for them."""

from dataclasses import dataclass
from http import HTTPStatus

from proxy.refusals import Refusal

# A head is kept in memory until it is complete. Apache takes 100 headers by default, nginx 32 KB.
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
# A connection without a whole head after this long holds a place that others need.
HEAD_SECONDS = 30.0
# A body of which no byte comes for this long is given up.
STALL_SECONDS = 30.0

BAD_REQUEST = Refusal(HTTPStatus.BAD_REQUEST, "This is not a valid HTTP request.")
LARGE_HEAD = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"The request's head has more than {MAX_HEADERS} headers or {MAX_HEAD_BYTES // 1024} KiB.",
)
SLOW_HEAD = Refusal(HTTPStatus.REQUEST_TIMEOUT, f"The request's head was not complete after {HEAD_SECONDS:g} s.")
SLOW_BODY = Refusal(
    HTTPStatus.REQUEST_TIMEOUT, f"Nothing came of the request's body for {STALL_SECONDS:g} s, or too little for long."
)
FULL = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The service has as many connections open as it takes.")
FAILED = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed on the request; the reason is in its log.")


@dataclass(frozen=True)
class Limits:
    """Bounds on one connection; seconds, bytes and numbers."""

    # Of a head; and of what stands between and after the chunks of a body: their sizes, extensions, trailers.
    head_bytes: int = MAX_HEAD_BYTES
    headers: int = MAX_HEADERS  # trailers are counted with them
    head_seconds: float = HEAD_SECONDS
    # A body goes on while a byte of it comes in this time, and its speed is above the least one: slow but steady
    # uploads end well, and nobody holds a place for good with a byte now and then.
    stall_seconds: float = STALL_SECONDS
    # An answer alike. A receiver tells of what it read in large steps, so this is longer.
    write_stall_seconds: float = 60.0
    slow_seconds: float = 600.0  # for so long at any speed; then so many bytes a second on the average
    slow_bytes_per_second: float = 128.0
    # What still comes after a refusal of the server's own is read and thrown away for this long: a connection that is
    # closed while the client sends is reset, and the answer may be lost with it.
    linger_seconds: float = 2.0
    # The rest of a body that was answered early, as with 401 or 413, is thrown away within these.
    drain_seconds: float = 30.0
    drain_stall_seconds: float = 5.0
    drain_bytes: int = 16 * 1024 * 1024
    pipelined: int = 8  # requests that wait behind the one that is answered; what comes beyond is not read meanwhile
    # With all places taken, a connection that was idle for this long is closed in favour of a new one.
    evicted_after_seconds: float = 5.0
