"""The streams of callers: how many each has open, and that none outlives the credential it was begun with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

from fr_core.access.principal import LOCAL, Principal
from fr_core.errors import CredentialInvalid, Failure, FrError, Overloaded
from fr_server.telemetry.logs import describe

log = logging.getLogger("fr_server.access")

RECHECK_S = 5.0
"""Between two looks at whether the credential of a stream is still valid."""
_telling: set[asyncio.Future[None]] = set()


class Sending:
    """Whether gRPC has an answer of the stream in its hands: `with` it, the answer is handed over."""

    def __init__(self) -> None:
        self.under_way = False

    def __enter__(self) -> None:
        self.under_way = True

    def __exit__(self, *_: object) -> None:
        self.under_way = False


class Streams:
    """Counts the streams of each caller, and ends those whose credential is not valid any more.

    Args:
        most: streams of one caller at once, at least 1. `LOCAL`, which is everybody, may have any number.
    """

    def __init__(self, most: float = math.inf) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def one(
        self,
        principal: Principal,
        require_still_valid: Callable[[], Awaitable[None]],
        tell: Callable[[FrError], Awaitable[None]],
    ) -> AsyncIterator[Sending]:
        """Let the block be a stream of a caller; it is ended in the midst of its waiting, too.

        Args:
            principal: the caller.
            require_still_valid: raises `CredentialInvalid` where the credential is not.
            tell: gives the call its status, where an answer is on its way, so that the block cannot.

        Raises:
            Overloaded: the caller has as many streams open as one may have.
            CredentialInvalid: the credential has ceased to be valid, `RECHECK_S` ago at most.
        """
        who = principal.principal_id
        if principal is not LOCAL and self._open[who] >= self._most:
            what = f"This caller has {self._most} streams open, as many as one may have."
            raise Overloaded(what, limit=str(self._most))
        self._open[who] += 1
        try:
            async with _ended_when(require_still_valid, tell) as sending:
                yield sending
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]


@contextlib.asynccontextmanager
async def _ended_when(
    require_still_valid: Callable[[], Awaitable[None]], tell: Callable[[FrError], Awaitable[None]]
) -> AsyncIterator[Sending]:
    sending = Sending()
    invalid: list[CredentialInvalid] = []

    async def watch(limit: asyncio.Timeout) -> None:
        while not invalid:
            await asyncio.sleep(RECHECK_S)
            try:
                await require_still_valid()
            except CredentialInvalid as error:
                invalid.append(error)
                if sending.under_way:  # it is gRPC that will be ended, after this has begun, and says nothing
                    _telling.add(telling := asyncio.ensure_future(tell(error)))
                    telling.add_done_callback(_telling.discard)
                limit.reschedule(asyncio.get_running_loop().time())
            except Exception as error:  # noqa: BLE001 - looked at again: nobody can say now, as without the issuer's keys
                if not isinstance(error, Failure):
                    log.error("Whether a stream may go on could not be looked at: %s", describe(error))

    try:
        async with asyncio.timeout(None) as limit:
            watching = asyncio.ensure_future(watch(limit))
            try:
                yield sending
            finally:
                watching.cancel()
    except TimeoutError:
        if not invalid:
            raise
        raise invalid[0] from None
