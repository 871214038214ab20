"""Handles SIGHUP: reads the certificates again, unless a sealed file has changed."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future

from fr_core.errors import FileTampered, FrError
from fr_server.app import Server
from fr_server.config.seal import mark_stores, require_sealed, seal_of
from fr_server.config.started import Started
from fr_server.telemetry.logs import describe

log = logging.getLogger("fr_server")


def log_failure(done: Future[None] | asyncio.Task[None]) -> None:
    """Say in the log why a reload has ended that nobody waits for."""
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("The certificates could not be read again: %s", describe(error))


class Reloader:
    """Handles SIGHUP for a server; of the event loop that the server runs in.

    Args:
        server: reads its certificates again.
        started: what the server was started with.
    """

    def __init__(self, server: Server, started: Started) -> None:
        self._server = server
        self._started = started
        self._asked = False
        self._reloading: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """Begin to reload, or to do so once more after what goes on; returns at once."""
        self._asked = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.ensure_future(self._reload_as_asked())
            self._reloading.add_done_callback(log_failure)

    async def _reload_as_asked(self) -> None:
        while self._asked:
            self._asked = False
            await self.reload()

    async def reload(self) -> None:
        """Have the certificates read again; where the seal is broken, they stay as they were, and the log says why.

        The key of the galleries, which the seal is under, may be that of a command: so this is done in a thread.
        """
        await asyncio.to_thread(self._tell_of_changes)
        if not self._server.config.tls.certificate:
            log.info("There is no TLS, so that SIGHUP has nothing to read again")
            return
        try:
            await asyncio.to_thread(self._require_sealed)
        except FrError as error:
            log.error("The certificates stay as they were: %s: %s", error.reason, error.message)
            self._server.telemetry.trust.reload_refused(error.reason)
        else:
            await self.mark_stores()
            await self._server.reload()

    async def mark_stores(self) -> None:
        """Write the mark of the seal, if there is one, into the stores; log each store where that fails."""
        if self._started.path is None:
            return
        try:
            await asyncio.to_thread(mark_stores, self._started.path, self._server.config)
        except FrError as error:
            log.error("A store does not have the mark of the seal yet: %s: %s", error.reason, error.message)

    def _tell_of_changes(self) -> None:
        try:
            changed = self._started.has_changed()
        except OSError as error:
            log.warning("The configuration cannot be read: %s: %s", error.filename, error.strerror)
            return
        if changed:
            log.warning(
                "%s was changed since the start: SIGHUP reads certificates alone, a restart applies the rest",
                self._started.path,
            )

    def _require_sealed(self) -> None:
        """Raise where there is a seal, or was one at the start, and it is not whole."""
        config = self._server.config
        if not require_sealed(self._started.path, config) and self._started.sealed:
            at = seal_of(config)
            raise FileTampered(
                f"The seal {at}, with which the server was started, is not there any more.", file=str(at)
            )
