"""The composition root: from a configuration to a server that runs until it is told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from fr_core import __version__
from fr_core.errors import ConfigInvalid, FileTampered, FrError, ShuttingDown, message
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import is_under_key
from fr_core.gallery.store.schema import SCHEMA as GALLERIES
from fr_core.storage.location import name_of, naming
from fr_core.storage.members import Members
from fr_core.storage.outside import exists
from fr_evaluation.stored import Reports
from fr_server.app import SERVICES, App
from fr_server.checks import require_free, require_usable
from fr_server.clock import SteadyClock
from fr_server.config import Config
from fr_server.config.folders import data_folder, key_of, postgres_of, reports_folder
from fr_server.config.indexes import milvus_of
from fr_server.config.started import Started
from fr_server.ending import log_failure, until
from fr_server.engine import open_engine
from fr_server.gateway.address import address_of
from fr_server.jobs.periodic import watch_others
from fr_server.memory import freeze_objects
from fr_server.rpc.services.decisions import warn_of_other_settings
from fr_server.storage.opening import opened_or_made, told_postgres
from fr_server.storage.peers import Peers
from fr_server.storage.seal import mark_stores, require_sealed, seal_of
from fr_server.telemetry.logs import log_unhandled
from fr_server.telemetry.open import open_telemetry, shared_metrics
from fr_server.telemetry.shared import Shared
from fr_server.web import WebInterface
from fr_server.workers.supervisor import Supervisor

Server: TypeAlias = App | Supervisor  # what `run` runs: a server in this process, or several in processes of their own


class Reloader:
    """Handles SIGHUP for a server, on the server's event loop."""

    def __init__(self, server: Server, started: Started, web: WebInterface | None = None) -> None:
        self._server = server
        self._web = web
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
            if self._web is not None:
                self._web.reload()

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
        config = self._server.config
        if not require_sealed(self._started.path, config) and self._started.sealed:
            at = seal_of(config)
            raise FileTampered(message("error.server.seal_existed_when_server", at=at), file=str(at))


log = logging.getLogger("fr_server")


def open_galleries(
    config: Config,
    load: bool = True,
    clock: SteadyClock | None = None,
    members: Members | None = None,
    shared: Shared | None = None,
) -> Galleries:
    """Open the galleries of a configuration, ready or not; raises what `Galleries.open` and `key_of` raise."""
    folder, server = data_folder(config), told_postgres(config, shared)
    location = server or folder
    has_key = is_under_key(folder) if server is None else exists(server, GALLERIES)
    key = key_of(config, new=not has_key)
    opening = partial(
        Galleries.open,
        location,
        key=key,
        reserve_bytes=config.gallery.reserve_mib * 2**20,
        index=milvus_of(config) or config.gallery.index,
        clock=(clock or SteadyClock()).moment,
        load=load,
        members=members,
    )
    path = name_of(location, GALLERIES)
    # An empty folder says nothing: people make it before the first start.
    seems_gone = server is None and (folder / GALLERIES.lock_name).exists() and not os.path.lexists(path)
    return opened_or_made("store of galleries", path, seems_gone, opening)


def build(config: Config) -> Server:
    """Open the models and the galleries of a configuration; raises `Unrecoverable`, and nothing is left open."""
    require_usable(config)
    require_free(config)
    frontends = config.server.frontends
    with contextlib.ExitStack() as opened:
        if frontends and config.telemetry.metrics_port:
            opened.enter_context(shared_metrics())
        telemetry = open_telemetry(config.telemetry, SERVICES, bool(config.storage.url))
        opened.callback(telemetry.close)
        model = config.model
        log.info("Loading the models of %s for %s in %s", model.pack, model.device, model.precision)
        engine = open_engine(config, telemetry.listener, telemetry.trust)
        opened.callback(engine.close)
        clock = SteadyClock()
        peers = Peers(config, telemetry.shared)
        opened.callback(peers.close)
        log.info("Opening the galleries")
        galleries = open_galleries(config, False, clock, peers.members, telemetry.shared)
        opened.callback(galleries.close)
        watch_others(telemetry, config, peers.members, galleries)

        def load(on_block: Callable[[], None]) -> None:
            with naming(name_of(postgres_of(config) or data_folder(config), GALLERIES)):
                galleries.load(on_block)

        Reports(reports_folder(config)).remove_leftovers()
        if frontends:
            return Supervisor(config, engine, galleries, telemetry, opened, load, galleries.broken)
        app = App(config, engine, galleries, telemetry, load=load, broken=galleries.broken, clock=clock, peers=peers)
        opened.pop_all()  # the app closes them
        return app


async def run(
    server: Server,
    ready_file: Path | None = None,
    require_no_signal: Callable[[], None] = lambda: None,
    started: Started | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; SIGHUP is let in once calls are answered, and ignored from the end on.

    It writes "HOST:PORT" into `ready_file` when calls are answered, and removes it at the end; systemd is told both, if
    it started the server and waits for that (Type=notify). `require_no_signal`
    raises where a signal came before this minds them. What was opened is then not closed, since that takes threads,
    which may wait for ever for a lock of the imports: it is as if the process was killed. `started` is the
    configuration that `build` was given, against which SIGHUP looks; None = it is of no file. Raises `Unrecoverable` if
    the server cannot start, or cannot go on, and `InternalError` if the galleries can take no more changes.
    """
    told_to_stop = asyncio.Event()
    ready = False
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_unhandled)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, told_to_stop.set)
    web = WebInterface(server.config) if server.config.web.port else None
    reloader = Reloader(server, started or Started(), web)
    # Not `add_signal_handler`: as the loop closes it would let SIGHUP kill the process.
    signal.signal(signal.SIGHUP, lambda number, frame: loop.call_soon_threadsafe(reloader))
    require_no_signal()
    try:
        if web is not None:
            web.open()
        starting = asyncio.ensure_future(server.start())
        await until(told_to_stop, starting)
        if not starting.done():
            log.info("Stopping before calls are answered")
            server.give_up()
            with contextlib.suppress(ShuttingDown):
                await starting
            return
        address = address_of(server.config.server.host, server.port)
        frontends = server.config.server.frontends
        log.info(
            "FR Core %s serving on %s with %s on %s (%s, %s, detection %s)%s",
            __version__,
            address,
            server.engine.pipeline.model,
            server.engine.device.active,
            server.engine.device.runtime,
            server.engine.device.precision,
            server.engine.detection,
            f" and {frontends} front-end processes" if frontends else "",
        )
        await reloader.mark_stores()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))
        freeze_objects()
        warn_of_other_settings(server.engine)
        if web is not None:
            await asyncio.to_thread(web.open_shelf)
            web.start(server.target)
        if ready_file is not None:
            await asyncio.to_thread(_write_ready, ready_file, f"{address}\n")
            ready = True
        _tell_systemd("READY=1")
        await until(told_to_stop, asyncio.ensure_future(server.broken()))
        log.info("Stopping: new calls are refused, running ones have %g s to end", server.config.server.drain_s)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _tell_systemd("STOPPING=1")
        if ready_file is not None and ready:  # else the file may be that of another server
            await asyncio.to_thread(ready_file.unlink, missing_ok=True)
        if web is not None:
            await web.stop()
        await server.stop()
    log.info("Stopped")


def _tell_systemd(state: str) -> None:
    """Send a state, as sd_notify(3) does, to where systemd listens; log it if that fails."""
    listens = os.environ.get("NOTIFY_SOCKET", "")
    if not listens:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(state.encode(), f"\0{listens[1:]}" if listens.startswith("@") else listens)
    except OSError as error:
        log.warning("systemd was not told %s: %s", state, error.strerror)


def _write_ready(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ConfigInvalid(message("error.server.ready_file", path=path, reason=str(error.strerror))) from error
