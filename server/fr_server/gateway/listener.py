"""Defines the listener of the gateway, and the stable words for its events."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class HandshakeFailure(StrEnum):
    """The reason why a TLS handshake failed."""

    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    CERTIFICATE_REVOKED = "certificate_revoked"
    # The list of revoked certificates is out of date, or does not come from the authority that signed the certificate.
    REVOCATION_UNKNOWN = "revocation_unknown"
    UNKNOWN_AUTHORITY = "unknown_authority"
    NO_CERTIFICATE = "no_certificate"
    # The client reports that it does not trust the server's certificate; gRPC clients only disconnect.
    SERVER_NOT_TRUSTED = "server_not_trusted"
    OLD_TLS = "old_tls"
    NOT_TLS = "not_tls"
    NO_H2 = "no_h2"
    TIMED_OUT = "timed_out"
    # The client disconnected before the end, like a port probe.
    WENT_AWAY = "went_away"
    OTHER = "other"


class Refusal(StrEnum):
    """The reason why a connection was closed before any byte of it reached the server."""

    TOO_MANY = "too_many"
    TOO_MANY_OF_ADDRESS = "too_many_of_address"
    # Too many clients had not sent their first bytes, and this one was the oldest.
    CROWDED_OUT = "crowded_out"
    NOT_HTTP2 = "not_http2"
    NO_FIRST_BYTES = "no_first_bytes"
    # The server behind the gateway accepts no connections.
    NO_BACKEND = "no_backend"


class Parting(StrEnum):
    """The reason why a connection ended."""

    CLIENT = "client"
    SERVER = "server"
    LOST = "lost"
    IDLE = "idle"
    STALLED = "stalled"
    # The certificate of the client was revoked while it was connected.
    REVOKED = "revoked"
    STOPPED = "stopped"


class GatewayListener(Protocol):
    """Receives events in the gateway's thread. Methods must be quick and must not raise."""

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        """A client failed the TLS handshake."""
        ...

    def connection_refused(self, address: str, why: Refusal) -> None:
        """The gateway closed a connection before any byte reached the server."""
        ...

    def connected(self, address: str) -> None:
        """A client has sent its first bytes and is connected to the server."""
        ...

    def disconnected(self, address: str, why: Parting) -> None:
        """A connected client has disconnected."""
        ...


class NullGatewayListener:
    """Ignores every event."""

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        """As `GatewayListener`."""

    def connection_refused(self, address: str, why: Refusal) -> None:
        """As `GatewayListener`."""

    def connected(self, address: str) -> None:
        """As `GatewayListener`."""

    def disconnected(self, address: str, why: Parting) -> None:
        """As `GatewayListener`."""
