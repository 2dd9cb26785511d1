"""Free ports for servers that are started beside others."""

import socket
from contextlib import ExitStack

OURS = ("PROXY_PORT", "TRITON_HTTP_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT")  # the settings of `runtime`


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on; all are held at once, so that no two are the same."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(held.getsockname()[1]) for held in sockets]


def free_settings() -> dict[str, str]:
    """A free port for each of our servers, as environment variables."""
    return dict(zip(OURS, map(str, free_ports(len(OURS))), strict=True))
