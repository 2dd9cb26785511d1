"""Ports are checked before anything starts."""

import socket

import pytest

from runtime.errors import InvalidSettings, PortTaken
from runtime.ports import check_ports, reachable, resolve


def test_a_taken_port_is_told_with_its_number_and_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"^Port {port} is taken: free it or set PROXY_PORT to another.$"):
            check_ports([("PROXY_PORT", "127.0.0.1", port)])


def test_a_listener_on_all_addresses_takes_the_port_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(PortTaken):
        check_ports([("TRITON_HTTP_PORT", "127.0.0.1", taken.getsockname()[1])])


def test_free_ports_stay_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        # A connection that the server closes first leaves the port in TIME_WAIT, which is no obstacle.
        with socket.create_connection(("127.0.0.1", port)), used.accept()[0]:
            pass
    check_ports([("TRITON_HTTP_PORT", "127.0.0.1", port)])
    check_ports([("TRITON_HTTP_PORT", "127.0.0.1", port)])


def test_an_address_of_another_machine_is_told_with_its_setting() -> None:
    with pytest.raises(InvalidSettings, match=r"PROXY_HOST must be an address of this machine, not '192\.0\.2\.1'"):
        check_ports([("PROXY_PORT", "192.0.2.1", 8001)])


def test_a_host_without_address_is_told_with_its_setting() -> None:
    with pytest.raises(InvalidSettings, match="TRITON_HOST must be an IPv4 address"):
        resolve("no such host", "TRITON_HOST", ipv4_only=True)
    with pytest.raises(InvalidSettings, match="TRITON_HOST must be an IPv4 address"):
        resolve("::1", "TRITON_HOST", ipv4_only=True)


def test_clients_reach_a_wildcard_through_loopback() -> None:
    assert [reachable(address) for address in ("0.0.0.0", "::", "10.0.0.1")] == ["127.0.0.1", "::1", "10.0.0.1"]
