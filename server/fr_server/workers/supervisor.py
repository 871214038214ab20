"""The engine's process of a server with front-ends: starts them, and starts anew those that end before their time."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field

from fr_core.engine import Engine, tile_shapes_of
from fr_core.errors import FrontendsFailed, ShuttingDown, message
from fr_locales.messages import Message
from fr_locales.rendering import render
from fr_server.app import Load, Part
from fr_server.config import Config
from fr_server.ending import log_lost_device, while_writing
from fr_server.gateway.address import own_address_of
from fr_server.jobs.periodic import watch
from fr_server.pools import StorageThreads, photo_threads
from fr_server.storage.calls import GalleryCalls
from fr_server.telemetry.open import Telemetry, forget
from fr_server.workers.heartbeat import BEAT_S, Heartbeat
from fr_server.workers.link_server import Batchers
from fr_server.workers.messages import ArenaPlan, EngineSays, FrontendSays, Welcome
from fr_server.workers.process import Frontend, HeldPort, start_frontend
from fr_server.workers.shared_memory import picture_bytes

log = logging.getLogger("fr_server.workers")

# A front-end that ends so often within so many seconds would go on doing so.
DEATHS, WITHIN_S = 5, 60.0
# Importing what a front-end needs takes a second; on a machine with other work, several.
_START_S = 120.0
# After `server.drain_s`, for the last words and the last spans.
_GRACE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0

# Most submissions are one tile. A photo that is cut into many fills several slots, and 16 small ones fit.
_TILES_OF_SLOT = 4
# Photos at once of one front-end where nothing else is asked for: some decode while others wait for the models.
_LEAST_WORKERS = 4


@dataclass(frozen=True, slots=True)
class _Milestones:
    """The progress of a front-end's process, the first or a replacement: it listens, it answers calls."""

    listening: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """A server of several processes: `start`, then `stop`, within one event loop. It owns what it is given.

    `server.frontends` of `config` is 1 or more. `telemetry` hears of the engine, and of health. `opened` closes all of
    these; it is empty, and theirs to close no more, once the supervisor is made. `broken` is as `Galleries.broken`.
    """

    def __init__(
        self,
        config: Config,
        engine: Engine,
        galleries: GalleryCalls,
        telemetry: Telemetry,
        opened: ExitStack,
        load: Load,
        broken: Future[None],
    ) -> None:
        self.config = config
        self.engine = engine
        self.port = 0
        detector, embedder = engine.batchers
        self._batchers: Batchers = {"detector": detector, "embedder": embedder}
        self._galleries = galleries
        self.telemetry = telemetry
        self._load = load
        self._broken = broken
        self._storage = StorageThreads()
        self._frontends: dict[int, Frontend] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._loaded = False
        self._given_up = asyncio.Event()
        self._stopping = asyncio.Event()
        self._device_lost = False
        telemetry.running_on(engine.device, engine.pack.name)
        self._opened = opened.pop_all()
        self._opened.callback(self._storage.close)

    async def start(self) -> None:
        """Start the front-ends, which refuse calls, and read the galleries; returns when all front-ends answer calls.

        Raises `AddressUnavailable`; `StoreCorrupt` or `StoreFailed` if the galleries cannot be read; `ShuttingDown` if
        the server was told to stop before it was ready; and `FrontendsFailed` if a front-end does not start.
        """
        held = await asyncio.to_thread(HeldPort, self.config.server.host, self.config.server.port)
        self._opened.callback(held.close)
        self.port = held.port
        self.telemetry.serving(False)
        watch(self.telemetry, self.config, self._galleries, {"galleries": self._broken})
        await asyncio.to_thread(self.telemetry.start)
        loop = asyncio.get_running_loop()

        def lost() -> None:
            loop.call_soon_threadsafe(self._lose_device)

        self.engine.lifeline.watch(lost)
        reached = [_Milestones() for _ in range(self.config.server.frontends)]
        self._keepers = [asyncio.create_task(self._keep(number, one)) for number, one in enumerate(reached)]
        await self._read_galleries()
        await self._have_ready([one.ready for one in reached])
        self.telemetry.serving(not self._device_lost)

    def give_up(self) -> None:
        """As `App.give_up`."""
        self._given_up.set()

    @property
    def target(self) -> str:
        """As `App.target`, but over TLS if the server has it: each front-end has a socket of its own."""
        return own_address_of(self.config.server.host, self.port)

    async def broken(self) -> None:
        """As `App.broken`; raises `FrontendsFailed` where a front-end ends again and again, or does not start."""
        await self._unless_broken(while_writing(self._broken))

    async def reload(self) -> None:
        """As `App.reload`."""
        for frontend in self._frontends.values():
            frontend.answerer.tell(EngineSays.RELOAD)

    async def stop(self) -> None:
        """As `App.stop`."""
        self._stopping.set()
        self.telemetry.serving(False)
        for frontend in self._frontends.values():
            frontend.answerer.tell(EngineSays.STOP)
        if self._keepers:
            _, late = await asyncio.wait(self._keepers, timeout=self.config.server.drain_s + _GRACE_S)
            if late:
                log.error("%d front-ends did not end in time, and are killed", len(late))
                for frontend in self._frontends.values():
                    frontend.process.kill()
            await asyncio.gather(*self._keepers, return_exceptions=True)  # `broken` has told of those that failed
        await asyncio.to_thread(self._opened.close)

    async def _read_galleries(self) -> None:
        """Make the galleries ready, while front-ends start, and tell these; raises what `start` raises."""
        loading = asyncio.create_task(asyncio.to_thread(self._load, self._require_going_on))
        try:
            await self._unless_broken(asyncio.shield(loading))
        except BaseException:  # `stop` may close the galleries only when nobody reads them any more
            self.give_up()
            await asyncio.gather(loading, return_exceptions=True)
            raise
        self._loaded = True
        for frontend in self._frontends.values():
            frontend.answerer.tell(EngineSays.GALLERIES_ARE_READ)

    async def _have_ready(self, ready: Sequence[asyncio.Event]) -> None:
        """Wait until all front-ends answer calls; raises what `start` raises."""
        try:
            await asyncio.wait_for(self._unless_broken(_all_set(ready), self._given_up.wait()), _START_S)
        except TimeoutError as error:
            raise FrontendsFailed(message("error.server.not_every_front_end", start_s=_START_S)) from error
        self._require_going_on()

    async def _unless_broken(self, *others: Awaitable[object]) -> None:
        """Wait until one of these or a keeper ends; raises what it ends with. The others of these are cancelled."""
        waiting = [asyncio.ensure_future(other) for other in others]
        try:
            done, _ = await asyncio.wait({*waiting, *self._keepers}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for other in waiting:
                other.cancel()

    async def _keep(self, number: int, reached: _Milestones) -> None:
        deaths: deque[float] = deque(maxlen=DEATHS)
        while not self._stopping.is_set():
            end = await self._run(number, reached)
            if self._stopping.is_set():
                return
            now = time.monotonic()
            deaths.append(now)
            if not reached.listening.is_set():
                raise FrontendsFailed(message("error.server.front_end_before_listened", number=number, end=end))
            if len(deaths) == DEATHS and now - deaths[0] < WITHIN_S:
                raise FrontendsFailed(
                    message(
                        "error.server.front_end_last_times", number=number, end=end, deaths=DEATHS, within_s=WITHIN_S
                    )
                )
            log.error("Front-end %d %s; it is started anew", number, render(end))
            recent = sum(now - death < WITHIN_S for death in deaths)
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (recent - 1))
            try:
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            except TimeoutError:
                continue

    async def _run(self, number: int, reached: _Milestones) -> Message:
        """Start a front-end, and wait for its end; return in words how it ended, or why it did not begin."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()

        heartbeat = Heartbeat()

        def said(word: FrontendSays | None) -> None:
            if word is FrontendSays.PONG:
                heartbeat.heard()
            elif word is None:
                loop.call_soon_threadsafe(gone.set)
            else:
                loop.call_soon_threadsafe(reached.listening.set)
                if word is FrontendSays.READY:
                    loop.call_soon_threadsafe(reached.ready.set)

        try:
            frontend = await asyncio.to_thread(
                start_frontend, self._welcome(), self._batchers, self._galleries, self._storage, said
            )
        except OSError as error:  # the machine has no process, memory or file descriptor left for it
            return message("error.frontend.not_started", why=str(error.strerror))
        log.info("Front-end %d is process %d", number, frontend.process.pid)
        self._frontends[number] = frontend
        if self._loaded:  # else it may have been welcomed just before
            frontend.answerer.tell(EngineSays.GALLERIES_ARE_READ)
        if self._device_lost:
            frontend.answerer.tell(EngineSays.DEVICE_IS_LOST)
        if self._stopping.is_set():
            frontend.answerer.tell(EngineSays.STOP)
        silent = await self._listen_to(frontend, heartbeat, gone)
        del self._frontends[number]
        status = await asyncio.to_thread(frontend.clear)
        forget(frontend.process.pid)
        if not self._stopping.is_set():
            self.telemetry.frontend_replaced("silent" if silent else "ended")
        if silent:
            return message("error.frontend.silent")
        return message("error.frontend.ended", status=status)

    async def _listen_to(self, frontend: Frontend, heartbeat: Heartbeat, gone: asyncio.Event) -> bool:
        """Wait for the end of a front-end, and kill it if it is silent; return whether it was."""
        silent = False
        while not gone.is_set():
            if not silent:
                frontend.answerer.tell(EngineSays.PING)
            try:
                await asyncio.wait_for(gone.wait(), BEAT_S)
            except TimeoutError:
                # `stop` sets the time for draining.
                if not silent and not self._stopping.is_set() and heartbeat.beat(frontend.processor_s):
                    silent = True
                    frontend.process.kill()
        return silent

    def _welcome(self) -> Welcome:
        frontends, model = self.config.server.frontends, self.config.model
        workers = _share(model.workers or photo_threads(self.engine.device), frontends)
        if not model.workers:
            workers = max(_LEAST_WORKERS, workers)
        largest = picture_bytes(tile_shapes_of(self.engine.pack)[-1])
        return Welcome(
            self.config,
            self.engine.pack,
            self.engine.device,
            Part(self.port, _share(self.config.server.max_in_flight, frontends), workers),
            ArenaPlan(workers, _TILES_OF_SLOT * largest),
            self._loaded,
        )

    def _require_going_on(self) -> None:
        if self._given_up.is_set():
            raise ShuttingDown(message("error.runtime.server_shutting_down"))

    def _lose_device(self) -> None:
        log_lost_device(self.engine)
        self._device_lost = True
        self.telemetry.serving(False)
        for frontend in self._frontends.values():
            frontend.answerer.tell(EngineSays.DEVICE_IS_LOST)


async def _all_set(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


def _share(whole: int, parts: int) -> int:
    return -(-whole // parts)
