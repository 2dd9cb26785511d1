"""`python -m proxy`: reads the settings, takes the port and serves until SIGTERM or Ctrl-C."""

import errno
import gc
import socket
import sys
from contextlib import suppress

import uvicorn

from proxy.app import create_app
from proxy.logs import configure_logging
from proxy.server.http_limits import Limits
from proxy.server.http_protocol import protocol_for
from proxy.server.server import STOP_SECONDS, Server
from proxy.settings import InvalidSettings, Settings, read_settings
from proxy.telemetry.tracing import start_tracing, traces_wanted

# Of a body that is refused while it comes, so many bodies of the largest size are read and dropped.
_DRAINED_BODIES = 2
# Made and not yet freed since the last collection of garbage, when the next one is due.
_NEW_OBJECTS = 10_000


class AddressTaken(Exception):
    """The proxy cannot listen where the settings say; one sentence that names the settings."""


def listen(settings: Settings) -> socket.socket:
    """A bound socket. uvicorn's own way ends in a message that names neither the port nor the setting."""
    host, port = settings.proxy_host, settings.proxy_port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressTaken(f"PROXY_HOST {host!r} is not an address to listen on: {error.strerror}.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Bound is not yet taken: with SO_REUSEADDR two may bind, and the second to listen fails.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(
                f"Port {port} is taken: stop what listens there or set PROXY_PORT to another."
            ) from error
        raise AddressTaken(
            f"The proxy cannot listen on port {port} (PROXY_PORT) of {host} (PROXY_HOST): {error.strerror}."
        ) from error
    return listener


def main() -> int:
    """The exit code: 2 for a setting that cannot be, 1 for an address that cannot be had."""
    try:
        settings = read_settings()
        traced = traces_wanted()
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    try:
        listener = listen(settings)
    except AddressTaken as error:
        print(error, file=sys.stderr)
        return 1
    configure_logging(settings.log_level, settings.log_format)
    config = uvicorn.Config(
        create_app(settings, tracing=start_tracing() if traced else None),
        loop="uvloop",
        http=protocol_for(
            settings.max_connections, Limits(drain_bytes=_DRAINED_BODIES * settings.max_body_mb * 1024 * 1024)
        ),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=traced,  # spans alone say who the client is, and by which scheme it came
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    # What is there stays: each full collection that looked at all of it would hold up every request.
    gc.collect()
    gc.freeze()
    # A request leaves next to no cycles, and some requests at once are enough objects for a collection by the defaults.
    gc.set_threshold(_NEW_OBJECTS)
    # uvicorn raises the signal once more when it has shut down in good order.
    with listener, suppress(KeyboardInterrupt):
        Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
