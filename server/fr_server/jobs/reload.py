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
    """Log the failure of a reload that nothing waits for."""
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("The certificates could not be reloaded: %s", describe(error))


class Reloader:
    """Handles SIGHUP for a server, on the server's event loop.

    Args:
        server: the server that reloads its certificates.
        started: the configuration that the server was started with.
    """

    def __init__(self, server: Server, started: Started) -> None:
        self._server = server
        self._started = started
        self._asked = False
        self._reloading: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """Start a reload, or schedule one more after the current one; returns immediately."""
        self._asked = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.ensure_future(self._reload_as_asked())
            self._reloading.add_done_callback(log_failure)

    async def _reload_as_asked(self) -> None:
        while self._asked:
            self._asked = False
            await self.reload()

    async def reload(self) -> None:
        """Reload the certificates. If the seal is broken, keep the old ones and log the reason.

        The gallery key, which protects the seal, may come from a command; the check therefore runs in a thread.
        """
        await asyncio.to_thread(self._tell_of_changes)
        if not self._server.config.tls.certificate:
            log.info("SIGHUP has no effect, because the server does not use TLS")
            return
        try:
            await asyncio.to_thread(self._require_sealed)
        except FrError as error:
            log.error("The certificates were not reloaded: %s: %s", error.reason, error.message)
            self._server.telemetry.trust.reload_refused(error.reason)
        else:
            await self.mark_stores()
            await self._server.reload()

    async def mark_stores(self) -> None:
        """Mark the stores as sealed, if there is a seal; log each store where this fails."""
        if self._started.path is None:
            return
        try:
            await asyncio.to_thread(mark_stores, self._started.path, self._server.config)
        except FrError as error:
            log.error("A store is not marked as sealed yet: %s: %s", error.reason, error.message)

    def _tell_of_changes(self) -> None:
        try:
            changed = self._started.has_changed()
        except OSError as error:
            log.warning("The configuration cannot be read: %s: %s", error.filename, error.strerror)
            return
        if changed:
            log.warning(
                "%s has changed since the start: SIGHUP reloads only certificates; a restart applies the rest",
                self._started.path,
            )

    def _require_sealed(self) -> None:
        """Raise if the seal is broken, or if the seal from the start is missing."""
        config = self._server.config
        if not require_sealed(self._started.path, config) and self._started.sealed:
            at = seal_of(config)
            raise FileTampered(f"The seal {at}, which existed when the server started, is missing.", file=str(at))
