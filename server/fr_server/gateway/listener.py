"""Defines the listener of the gateway, and the stable words for its events."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class HandshakeFailure(StrEnum):
    """The reason why a TLS handshake failed."""

    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    CERTIFICATE_REVOKED = "certificate_revoked"
    # The list of revoked certificates is out of date, or none of it is of the authority that signed.
    REVOCATION_UNKNOWN = "revocation_unknown"
    UNKNOWN_AUTHORITY = "unknown_authority"
    NO_CERTIFICATE = "no_certificate"
    # The client does not trust the certificate of the server, and says so; clients of gRPC go away without a word.
    SERVER_NOT_TRUSTED = "server_not_trusted"
    OLD_TLS = "old_tls"
    NOT_TLS = "not_tls"
    NO_H2 = "no_h2"
    TIMED_OUT = "timed_out"
    # The client went away before the end, as probes of ports do.
    WENT_AWAY = "went_away"
    OTHER = "other"


class Refusal(StrEnum):
    """The reason why a connection was closed before any byte of it reached the server."""

    TOO_MANY = "too_many"
    TOO_MANY_OF_ADDRESS = "too_many_of_address"
    # It was the oldest of those that had not greeted, when there were too many of these.
    CROWDED_OUT = "crowded_out"
    NOT_HTTP2 = "not_http2"
    NO_FIRST_BYTES = "no_first_bytes"
    # The server behind the door does not take connections.
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


class DoorListener(Protocol):
    """Is told by the door, in the door's thread: whatever it does must be short, and must not raise."""

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        """A client has not come through the TLS handshake."""
        ...

    def connection_refused(self, address: str, why: Refusal) -> None:
        """A client was closed before a byte of it went to the server."""
        ...

    def connected(self, address: str) -> None:
        """A client has greeted and is connected to the server."""
        ...

    def disconnected(self, address: str, why: Parting) -> None:
        """A client that was `connected` is not any more."""
        ...


class NullDoorListener:
    """Does nothing."""

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        """As `DoorListener`."""

    def connection_refused(self, address: str, why: Refusal) -> None:
        """As `DoorListener`."""

    def connected(self, address: str) -> None:
        """As `DoorListener`."""

    def disconnected(self, address: str, why: Parting) -> None:
        """As `DoorListener`."""
