"""Ends streams whose credential is no longer valid, or whose reader is too slow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fr_core.errors import Failure, FrError, ReaderTooSlow
from fr_server.telemetry.logs import describe
from fr_trust.errors import CredentialInvalid

log = logging.getLogger("fr_server.authz")

RECHECK_S = 5.0
"""Seconds between two checks of a stream: is its credential still valid, and does its reader read?"""
_telling: set[asyncio.Future[None]] = set()


class Sending:
    """Whether gRPC has an answer of the stream in its hands: `with` it, the answer is handed over."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def __enter__(self) -> None:
        self._since_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since_s = None

    @property
    def under_way_s(self) -> float | None:
        """Seconds since it got the answer; None if it has none."""
        return None if self._since_s is None else time.monotonic() - self._since_s


class Streams:
    """Ends streams whose credential is no longer valid, and those whose readers do not read.

    Args:
        stall_s: seconds that a reader may leave an answer unread.
    """

    def __init__(self, stall_s: float = math.inf) -> None:
        self._stall_s = stall_s

    @contextlib.asynccontextmanager
    async def one(
        self, require_still_valid: Callable[[], Awaitable[None]], tell: Callable[[FrError], Awaitable[None]]
    ) -> AsyncIterator[Sending]:
        """Let the block be a stream of a caller; it is ended in the midst of its waiting, too.

        Args:
            require_still_valid: raises `CredentialInvalid` where the credential is not.
            tell: gives the call its status, where an answer is on its way, so that the block cannot.

        Raises:
            CredentialInvalid: the credential has ceased to be valid, `RECHECK_S` ago at most.
            ReaderTooSlow: the reader has left an answer unread for too long.
        """
        sending = Sending()
        why: list[FrError] = []

        async def watch(limit: asyncio.Timeout) -> None:
            while not why:
                await asyncio.sleep(min(RECHECK_S, self._stall_s))
                error = await self._fault(require_still_valid, sending)
                if error is None:
                    continue
                why.append(error)
                if sending.under_way_s is not None:  # the code below ends the call, and then gRPC sends no error
                    _telling.add(telling := asyncio.ensure_future(tell(error)))
                    telling.add_done_callback(_telling.discard)
                limit.reschedule(asyncio.get_running_loop().time())

        try:
            async with asyncio.timeout(None) as limit:
                watching = asyncio.ensure_future(watch(limit))
                try:
                    yield sending
                finally:
                    watching.cancel()
        except TimeoutError:
            if not why:
                raise
            raise why[0] from None

    async def _fault(self, require_still_valid: Callable[[], Awaitable[None]], sending: Sending) -> FrError | None:
        """Return why a stream must end now; None if it may go on."""
        try:
            await require_still_valid()
        except CredentialInvalid as error:
            return error
        except Exception as error:  # noqa: BLE001 - unknown now, as without the issuer's keys; checked again
            if not isinstance(error, Failure):
                log.error("The validity of a stream could not be checked: %s", describe(error))
        under_way_s = sending.under_way_s
        if under_way_s is not None and under_way_s >= self._stall_s:
            return ReaderTooSlow(
                f"The client did not read the answer for {self._stall_s:g} s.", limit_s=f"{self._stall_s:g}"
            )
        return None
