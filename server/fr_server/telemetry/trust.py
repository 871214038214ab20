"""Passes events of the gateway, of access and of the audit to the metrics, if they are on."""

from __future__ import annotations

from typing import Literal, Protocol

from fr_server.gateway.listener import GatewayListener, NullGatewayListener

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


class NullTrust(NullGatewayListener):
    """Ignores every event."""

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
