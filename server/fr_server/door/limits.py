"""How much room and time the door gives to whoever connects."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Limits of connections; a connection is half-open until it has greeted as HTTP/2 demands.

    Attributes:
        handshake_s: for the TLS handshake; for the first bytes of HTTP/2 after it; and for the server to take the
            connection; > 0.
        idle_s: without a byte either way a connection is closed after this; 0 = never. A server that pings its clients,
            as gRPC's keepalive does, is never idle, so that this is to be longer than its interval.
        stall_s: for a client that does not read what is sent to it; > 0.
        connections: that have greeted, in all; >= 1. More are closed at once.
        half_open: connections that have not greeted, in all; >= 1. One more closes the oldest of them, which waits
            longest for a client that says nothing: so a flood of silent sockets does not shut others out.
        connections_per_address: of both kinds; >= 1. An IPv6 network of 64 bits, as one customer gets it, is
            one address.

    Raises:
        ValueError: a limit is out of range.
    """

    handshake_s: float = 5.0
    idle_s: float = 300.0
    stall_s: float = 30.0
    connections: int = 1024
    half_open: int = 1024
    connections_per_address: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least_open = field.name != "idle_s"
            if not value < float("inf") or value < 0 or (value == 0 and least_open):
                raise ValueError(f"{field.name} is out of range")


def network_of(address: str) -> str:
    """Return what shares one limit with an IP address: itself, or its IPv6 network of 64 bits."""
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if ":" in address else address
