"""Checks, before anything starts, that every port can be listened on."""

import errno
import socket
from collections.abc import Iterable

from runtime.errors import InvalidSettings, PortTaken


def resolve(host: str, setting: str, *, ipv4_only: bool = False) -> tuple[socket.AddressFamily, str]:
    """The first numeric address of `host`.

    Raises `InvalidSettings`, naming `setting`, where it has none.
    """
    try:
        family = socket.AF_INET if ipv4_only else socket.AF_UNSPEC
        found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        kind = "an IPv4 address" if ipv4_only else "an address"
        raise InvalidSettings(f"{setting} must be {kind} or a host name that has one, not {host!r}.") from None
    return found[0], str(found[4][0])


def reachable(address: str) -> str:
    """Where a client on this machine finds what listens on `address`.

    >>> reachable("0.0.0.0"), reachable("::"), reachable("192.0.2.1")
    ('127.0.0.1', '::1', '192.0.2.1')
    """
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def check_ports(listeners: Iterable[tuple[str, str, int]]) -> None:
    """Binds each port once and lets it go: `listeners` are the port's setting, the host and the port.

    Raises `PortTaken` or `InvalidSettings`, naming port and setting.
    """
    for setting, host, port in listeners:
        host_setting = f"{setting.split('_')[0]}_HOST"
        family, address = resolve(host, host_setting, ipv4_only=host_setting == "TRITON_HOST")
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the servers do: connections of an earlier run that still close are no obstacle, a listener is.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise _explain(error, setting, host_setting, host, port) from None


def _explain(error: OSError, setting: str, host_setting: str, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"Port {port} is taken: free it or set {setting} to another.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortTaken(f"Port {port} is not allowed to this user: set {setting} to one of 1024 or more.")
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return InvalidSettings(f"{host_setting} must be an address of this machine, not {host!r}.")
    return PortTaken(f"Port {port} ({setting}) cannot be listened on: {error.strerror}.")
