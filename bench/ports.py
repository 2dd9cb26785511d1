"""Free ports for servers that are started beside others."""

import errno
import random
import socket
from contextlib import ExitStack

OURS = ("PROXY_PORT", "TRITON_HTTP_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT")  # the settings of `runtime`


# Below those that the kernel gives to outgoing connections (32768 on): one of them may take a port between its being
# drawn and its being listened on.
_RANGE = range(10_240, 32_768)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on; all are held at once, so that no two are the same."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            port = random.choice(_RANGE)
            try:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                found.append(port)
    return found


def free_settings() -> dict[str, str]:
    """A free port for each of our servers, as environment variables."""
    return dict(zip(OURS, map(str, free_ports(len(OURS))), strict=True))
