"""Passes events of the gateway, of access and of the audit to the metrics, if they are on."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Protocol


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


Chain = Literal["galleries", "training", "cases", "access"]
"""A chain of the audit."""

DecoderEnd = Literal["crashed", "too_costly"]
"""The reason for replacing a photo decoder: it crashed, or a photo took too much time or memory."""


class Trust(GatewayListener, Protocol):
    """Receives security events from any thread. Methods must be quick and must not raise.

    It is also a `GatewayListener`, so that the gateway can use it directly. It does not keep addresses.
    """

    def access_refused(self, reason: str) -> None:
        """Record that a call was refused because of its caller or its rate.

        Args:
            reason: the reason of the error, such as NOT_PERMITTED; for CREDENTIAL_INVALID, a word of
                `fr_trust.access.refusals.Why` instead, such as `expired`.
        """
        ...

    def checkpointed(self, chain: Chain, at_s: float) -> None:
        """Record the time of a chain's last checkpoint; also called when the server starts.

        Args:
            chain: of the audit.
            at_s: seconds since 1970, UTC; 0 if there is none yet.
        """
        ...

    def checkpoint_agrees(self, chain: Chain, agrees: bool) -> None:
        """Record whether a chain agrees with its newest checkpoint in the checkpoint folder.

        Args:
            chain: of the audit.
            agrees: also true if there is no checkpoint yet.
        """
        ...

    def certificate_expires(self, at_s: float) -> None:
        """Record the expiry of the current certificate; called again after each reload.

        Args:
            at_s: seconds since 1970, UTC.
        """
        ...

    def revocations_expire(self, at_s: float) -> None:
        """Record the expiry of the current list of revoked certificates; called again after each reload.

        Args:
            at_s: seconds since 1970, UTC; 0 if there is no list, or if it never expires.
        """
        ...

    def reload_refused(self, reason: str) -> None:
        """Record that a reload left the certificates unchanged.

        Args:
            reason: the reason of the error, such as FILE_TAMPERED.
        """
        ...

    def keys_expire(self, at_s: float) -> None:
        """Record the next expiry of a valid API key; called regularly.

        Args:
            at_s: seconds since 1970, UTC; 0 if none expires.
        """
        ...

    def decoder_replaced(self, why: DecoderEnd) -> None:
        """Record that the server replaced a photo decoder early."""
        ...


class NullTrust:
    """Ignores every event."""

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        """As `GatewayListener.handshake_failed`."""

    def connection_refused(self, address: str, why: Refusal) -> None:
        """As `GatewayListener.connection_refused`."""

    def connected(self, address: str) -> None:
        """As `GatewayListener.connected`."""

    def disconnected(self, address: str, why: Parting) -> None:
        """As `GatewayListener.disconnected`."""

    def access_refused(self, reason: str) -> None:
        """As `Trust.access_refused`."""

    def checkpointed(self, chain: Chain, at_s: float) -> None:
        """As `Trust.checkpointed`."""

    def checkpoint_agrees(self, chain: Chain, agrees: bool) -> None:
        """As `Trust.checkpoint_agrees`."""

    def certificate_expires(self, at_s: float) -> None:
        """As `Trust.certificate_expires`."""

    def revocations_expire(self, at_s: float) -> None:
        """As `Trust.revocations_expire`."""

    def reload_refused(self, reason: str) -> None:
        """As `Trust.reload_refused`."""

    def keys_expire(self, at_s: float) -> None:
        """As `Trust.keys_expire`."""

    def decoder_replaced(self, why: DecoderEnd) -> None:
        """As `Trust.decoder_replaced`."""
