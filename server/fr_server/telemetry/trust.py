"""Passes events of the gateway, of access and of the audit to the metrics, if they are on."""

from __future__ import annotations

from typing import Literal, Protocol

from fr_server.gateway.listener import DoorListener, NullDoorListener

Chain = Literal["galleries", "training", "cases", "access"]
"""A chain of the audit."""

DecoderEnd = Literal["crashed", "too_costly"]
"""Why a process that decodes photos was replaced: it broke, or a photo took too much time or memory."""


class Trust(DoorListener, Protocol):
    """Is told of what guards the server, from any thread; must be quick, and must not raise.

    It is a `DoorListener` as well, so that the door can be given it as it is; addresses are not kept.
    """

    def access_refused(self, reason: str) -> None:
        """Hear that a call was refused for who made it, or how often.

        Args:
            reason: the error's own, such as NOT_PERMITTED; of CREDENTIAL_INVALID the word of
                `fr_trust.access.refusals.Why` in its place, such as `expired`.
        """
        ...

    def checkpointed(self, chain: Chain, at_s: float) -> None:
        """Hear when the last checkpoint of a chain was made; also at the start of a server.

        Args:
            chain: of the audit.
            at_s: seconds since 1970, UTC; 0 where there is none yet.
        """
        ...

    def checkpoint_agrees(self, chain: Chain, agrees: bool) -> None:
        """Hear whether a chain agrees with the newest checkpoint of it in the folder that they are written to.

        Args:
            chain: of the audit.
            agrees: also where there is no checkpoint yet.
        """
        ...

    def certificate_expires(self, at_s: float) -> None:
        """Hear when the certificate that is in use ends; again after each reload.

        Args:
            at_s: seconds since 1970, UTC.
        """
        ...

    def revocations_expire(self, at_s: float) -> None:
        """Hear when the list of revoked certificates that is in use ends; again after each reload.

        Args:
            at_s: seconds since 1970, UTC; 0 where there is none, or it has no end.
        """
        ...

    def reload_refused(self, reason: str) -> None:
        """Hear that certificates were to be read again, and stay as they were.

        Args:
            reason: the error's own, such as FILE_TAMPERED.
        """
        ...

    def keys_expire(self, at_s: float) -> None:
        """Hear when the first API key ends of those that are valid; again and again.

        Args:
            at_s: seconds since 1970, UTC; 0 where none has an end.
        """
        ...

    def decoder_replaced(self, why: DecoderEnd) -> None:
        """Hear that a process that decodes photos was replaced before its time."""
        ...


class NullTrust(NullDoorListener):
    """Listens to nothing."""

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
