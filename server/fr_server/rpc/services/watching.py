"""Watches the live streams that the configuration allows, each for one caller of all servers; keeps nothing of them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from fr_api.v1 import video_pb2 as pb
from fr_core.engine import Engine
from fr_core.errors import (
    FrError,
    InternalError,
    NoCalibration,
    RateNotSupported,
    ReplicaBehind,
    ShuttingDown,
    message,
)
from fr_core.gallery.values import Found
from fr_core.runtime.ticket import Ticket, hold
from fr_core.scoring.intervals import UndefinedRate
from fr_core.storage import leases
from fr_core.types import Embedding
from fr_locales.rendering import render
from fr_server.authz.callers import current_sharer
from fr_server.authz.record import note
from fr_server.config.streams import AllowedStream
from fr_server.pools import Work
from fr_server.rpc.convert.watching import event_message, search_of
from fr_server.rpc.services.gallery_faces import GalleryFaces, SearchOrder
from fr_server.rpc.services.video_analysis import require_decoder
from fr_server.storage.calls import GalleryCalls
from fr_server.telemetry.logs import describe
from fr_video.errors import StreamUnreadable, StreamWatched, WatchNotAllowed
from fr_video.values import Sampling, VideoLimits
from fr_video.watching import Event, Searched, Watch, Watcher

log = logging.getLogger("fr_server.video")

_WAITING = 16  # events, before the watch waits for its reader
_LOOK_S = 1.0  # between two looks at whether the server shuts down


class Watches:
    """The watches of a process; of each stream, at most one of all processes that share the leases.

    Args:
        allowed: the streams by name.
        galleries: that are searched.
        faces: enters a gallery, as for any search.
        count_search: counts one more search of the caller; raises `QuotaExceeded`, `StoreFailed`.
        shared: the leases of those that share the stores.
    """

    def __init__(
        self,
        allowed: Mapping[str, AllowedStream],
        engine: Engine,
        galleries: GalleryCalls,
        faces: GalleryFaces,
        work: Work,
        limits: VideoLimits,
        count_search: Callable[[], Coroutine[None, None, None]],
        shared: leases.Leases,
    ) -> None:
        self._allowed, self._engine, self._galleries = allowed, engine, galleries
        self._faces, self._work, self._limits = faces, work, limits
        self._count_search = count_search
        self._leases = shared

    async def watch(self, request: pb.WatchStreamRequest) -> AsyncGenerator[pb.WatchStreamResponse, None]:
        """Yield the events of a stream, until the call ends.

        Raises:
            WatchNotAllowed, StreamWatched, StreamUnreadable: as their reasons say.
            ReplicaBehind: the server has lost PostgreSQL, and another one may watch the stream.
            PurposeRequired, InvalidField: as `search_of`; and what `GalleryFaces.begin_search` raises.
            NoCalibration, RateNotSupported: the gallery, and the model, have no calibration, or one that supports no
                threshold.
        """
        require_decoder()
        order = await self._faces.begin_search(search_of(request))
        stream = self._allowed.get(request.stream)
        if stream is None or request.gallery_id not in stream.galleries:
            raise WatchNotAllowed(message("error.video.watch_not_listed"))
        if order.in_force is None:
            raise NoCalibration(message("error.rpc.no_calibration_tells_threshold"))
        _require_valid(stream)
        note(detail={"stream": stream.name}, model=order.info.model)
        told = _Told(stream)
        async with aclosing(self._events(request, stream, order)) as events:
            async for event in events:
                _require_valid(stream)
                yield told.message(event)

    async def _events(
        self, request: pb.WatchStreamRequest, stream: AllowedStream, order: SearchOrder
    ) -> AsyncGenerator[Event, None]:
        stop, loop = threading.Event(), asyncio.get_running_loop()
        events: asyncio.Queue[Event | FrError | None] = asyncio.Queue(_WAITING)
        taking = partial(leases.hold, self._leases, f"watch-{stream.name}")
        watching = partial(self._watcher, request, stream, order, stop, loop)

        def tell(event: Event | FrError | None) -> None:
            if stop.is_set():  # the call has ended, and the loop may have, too
                return
            waiting = asyncio.run_coroutine_threadsafe(events.put(event), loop)
            while not stop.is_set():
                try:
                    waiting.result(_LOOK_S)
                    return
                except TimeoutError:  # the reader is slow
                    continue
            waiting.cancel()

        thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(_run, taking, watching, order.info.template_count, tell),
            name="watch",
            daemon=True,
        )
        thread.start()
        try:
            while True:
                try:
                    event = await asyncio.wait_for(events.get(), _LOOK_S)
                except TimeoutError:
                    if self._work.draining.is_set():
                        raise ShuttingDown(message("error.rpc.server_shutting_down_start")) from None
                    continue
                if isinstance(event, FrError):
                    raise event
                if event is None:
                    return
                yield event
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)

    def _watcher(
        self,
        request: pb.WatchStreamRequest,
        stream: AllowedStream,
        order: SearchOrder,
        stop: threading.Event,
        loop: asyncio.AbstractEventLoop,
        held: leases.Hold,
    ) -> Watcher:
        info = order.info
        assert order.in_force is not None

        def search(probe: Embedding, threshold: float) -> Found:
            _require_held(held)
            asyncio.run_coroutine_threadsafe(self._count_search(), loop).result()
            return self._galleries.search(info, *replace(order, threshold=threshold).question(probe).arguments)

        asked = Watch(stream.address, request.false_leads_per_day, request.tracks_per_day, Sampling(), self._limits)
        return Watcher(
            asked,
            self._engine,
            order.in_force.calibration,
            lambda: max(1, self._galleries.get(info).template_count),
            search,
            stop,
            lambda: datetime.now(UTC),
            time.monotonic,
        )


class _Told:
    """Notes for the audit what a watch reports to its caller."""

    def __init__(self, stream: AllowedStream) -> None:
        self._stream = stream
        self._begun = False

    def message(self, event: Event) -> pb.WatchStreamResponse:
        made = event_message(event)
        if not self._begun and made.HasField("status"):
            self._begun = True
            until = self._stream.until.isoformat()
            made.status.notice = render(message("notice.watch", authority=self._stream.authority, until=until))
        if isinstance(event, Searched):
            note(
                subject_ids=[one.subject_id for one in made.searched.candidates],
                threshold=event.point.threshold,
                gallery_version=event.found.identification.gallery_version,
            )
        return made


def _require_valid(stream: AllowedStream) -> None:
    if datetime.now(UTC).date() > stream.until:
        raise WatchNotAllowed(message("error.video.watch_over", until=stream.until.isoformat()))


def _require_held(held: leases.Hold) -> None:
    if not held.is_held:
        raise ReplicaBehind(message("error.gallery.replica_cut_off"))


def _run(
    take: Callable[[], leases.Hold | None],
    watching: Callable[[leases.Hold], Watcher],
    templates: int,
    tell: Callable[[Event | FrError | None], None],
) -> None:
    """Watch while the lease of the stream is held; the thread that takes it frees it, however the call ends."""
    hold(Ticket(bulk=True, caller=current_sharer()))
    try:
        held = take()
        if held is None:
            raise StreamWatched(message("error.video.watched_already"))
        with held:
            for event in watching(held).events():
                _require_held(held)
                tell(event)
        tell(None)
    except FrError as error:
        tell(error)
    except UndefinedRate:
        tell(RateNotSupported(message("error.rpc.no_fpir", templates=templates)))
    except OSError:
        tell(StreamUnreadable(message("error.video.stream_unreachable")))
    except Exception as error:  # noqa: BLE001 - the boundary of the thread: its caller must hear of the end
        log.error("A watch failed: %s", describe(error))
        tell(InternalError(message("error.rpc.server_failed_call")))
