"""Who listens to the door, to access and to the audit: nobody, or the metrics."""

from __future__ import annotations

from typing import Literal, Protocol

from fr_server.door.listener import DoorListener, NullDoorListener

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
                `fr_core.access.refusals.Why` in its place, such as `expired`.
        """
        ...

    def checkpointed(self, chain: Chain, at_s: float) -> None:
        """Hear when the last checkpoint of a chain was made; also at the start of a server.

        Args:
            chain: of the audit.
            at_s: seconds since 1970, UTC; 0 where there is none yet.
        """
        ...

    def certificate_expires(self, at_s: float) -> None:
        """Hear when the certificate that is in use ends; again after each reload.

        Args:
            at_s: seconds since 1970, UTC.
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

    def certificate_expires(self, at_s: float) -> None:
        """As `Trust.certificate_expires`."""

    def decoder_replaced(self, why: DecoderEnd) -> None:
        """As `Trust.decoder_replaced`."""
