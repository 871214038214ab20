"""Names the events of the gateway, of access and of the audit, and passes them to its listeners."""

from enum import StrEnum
from typing import Literal


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


Chain = Literal["galleries", "training", "cases", "access"]  # a chain of the audit

DecoderEnd = Literal["crashed", "too_costly"]
"""The reason for replacing a photo decoder: it crashed, or a photo took too much time or memory."""


class Trust:
    """Receives security events from any thread, and ignores them; the methods of a subclass are quick and do not raise.

    No event may leave an address in a log or a metric. Times are seconds since 1970, UTC.
    """

    def handshake_failed(self, address: str, why: HandshakeFailure) -> None:
        """A client failed the TLS handshake; in the gateway's thread, as the next three."""

    def connection_refused(self, address: str, why: Refusal) -> None:
        """The gateway closed a connection before any byte reached the server."""

    def connected(self, address: str) -> None:
        """A client has sent its first bytes and is connected to the server."""

    def disconnected(self, address: str, why: Parting) -> None:
        """A connected client has disconnected."""

    def access_refused(self, reason: str) -> None:
        """A call was refused because of its caller or its rate.

        `reason` is that of the error, such as NOT_PERMITTED; for CREDENTIAL_INVALID, a word of
        `fr_trust.access.refusals.Why` instead, such as `expired`.
        """

    def checkpointed(self, chain: Chain, at_s: float) -> None:
        """A chain got a checkpoint, or the server starts; 0 if there is none yet."""

    def checkpoint_agrees(self, chain: Chain, agrees: bool) -> None:
        """A chain was compared with its newest checkpoint in the checkpoint folder; agrees if there is none yet."""

    def certificate_expires(self, at_s: float) -> None:
        """The current certificate has this expiry; told again after each reload."""

    def revocations_expire(self, at_s: float) -> None:
        """The list of revoked certificates has this expiry; 0 if there is none, or if it never expires."""

    def reload_refused(self, reason: str) -> None:
        """A reload left the certificates unchanged, for the reason of an error, such as FILE_TAMPERED."""

    def keys_expire(self, at_s: float) -> None:
        """The next valid API key expires then; 0 if none expires. Told regularly."""

    def decoder_replaced(self, why: DecoderEnd) -> None:
        """The server replaced a photo decoder early."""
