"""ServerService: what this server is, accepts and does; and the standard health service, which answers anybody."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import server_pb2 as pb
from fr_api.v1 import server_pb2_grpc
from fr_core import __version__
from fr_core.engine import Engine
from fr_core.errors import CallTooLong, DeviceLost, FrError, InternalError, StoreCorrupt, StoreFailed
from fr_core.gallery.values import MAX_PAGE_SIZE, MAX_TOP_K
from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.manifest import load_pack, pack_names
from fr_core.storage.outside import disk_bytes, size_bytes
from fr_locales.rendering import render
from fr_server.config import Config
from fr_server.pools import Work
from fr_server.rpc.convert.common import NOTICE, model_message, timestamp_ms
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.storage.places import places_of
from fr_server.telemetry.listener import Tally
from fr_server.telemetry.logs import describe

log = logging.getLogger("fr_server")

_SAVED = "galleries"  # which `fr gallery backup` copies
# As the alert FrErrorRatio counts.
_FAULTS = frozenset(one.reason for one in (InternalError, StoreFailed, StoreCorrupt, DeviceLost, CallTooLong))

Status = health_pb2.HealthCheckResponse

MOST_WATCHERS = 1_000
"""So many may watch a process at once, over all connections together: none of them is asked who it is."""
MOST_PER_CONNECTION = 100  # so many may watch over one connection, so that a single one cannot take every place


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """Tells whether the services of these full names serve; of one event loop. The whole server, "", is always one.

    At most `most_watchers` watch at once, `most_per_connection` of them over one connection; it refuses more with
    RESOURCE_EXHAUSTED.
    """

    def __init__(
        self,
        services: Iterable[str],
        most_watchers: int = MOST_WATCHERS,
        most_per_connection: int = MOST_PER_CONNECTION,
    ) -> None:
        self._services = frozenset(("", *services))
        self._most_watchers = most_watchers
        self._most_per_connection = most_per_connection
        self._watchers = Counter[str]()  # of each connection
        self._serving = False
        self._changed = asyncio.Event()
        self._ended = False

    @property
    def serving(self) -> bool:
        """Return what is told."""
        return self._serving

    def tell(self, serving: bool) -> None:
        """Change what is told of every service; waits for nobody."""
        if not self._ended:
            self._serving = serving
            self._changed.set()
            self._changed = asyncio.Event()

    def end(self) -> None:
        """Tell from now on, and for good, that nothing serves."""
        self.tell(serving=False)
        self._ended = True

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "The server has no service of that name.")
        return Status(status=self._status())

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        connection = context.peer()
        if self._watchers.total() >= self._most_watchers or self._watchers[connection] >= self._most_per_connection:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "As many clients watch the health as may, in all or over one connection. Call Check in place of Watch.",
            )
        self._watchers[connection] += 1
        try:
            told = None
            while True:
                changed = self._changed
                status = self._status() if request.service in self._services else Status.SERVICE_UNKNOWN
                if status != told:
                    told = status
                    yield Status(status=status)
                await changed.wait()
        finally:
            self._watchers[connection] -= 1
            if not self._watchers[connection]:
                del self._watchers[connection]

    def _status(self) -> int:
        return int(Status.SERVING if self._serving else Status.NOT_SERVING)


def server_info(config: Config, engine: Engine) -> pb.GetServerInfoResponse:
    """Build the description of a server, without its notice."""
    return pb.GetServerInfoResponse(
        version=__version__,
        model=pb.ModelInfo(
            id=model_message(engine.pipeline.model),
            embedding_size=engine.pipeline.embedding_size,
            detector_licence=engine.pack.detector.licence,
            embedder_licence=engine.pack.embedder.licence,
            default_threshold=engine.pack.thresholds.similarity,
            threshold_source=engine.pack.thresholds.source,
        ),
        device=pb.DeviceInfo(
            requested=engine.device.requested,
            active=engine.device.active,
            runtime=engine.device.runtime,
            precision=engine.device.precision,
            detection=engine.detection,
        ),
        limits=pb.Limits(
            max_image_bytes=config.images.max_bytes,
            max_image_pixels=config.images.max_pixels,
            image_formats=config.images.formats,
            max_top_k=MAX_TOP_K,
            max_page_size=MAX_PAGE_SIZE,
            max_in_flight=config.server.max_in_flight,
        ),
    )


def _stores(config: Config) -> Iterator[pb.StoreStatus]:
    for place in places_of(config):
        try:
            size = sum(size_bytes(place.location, place.schema))
            free, _ = disk_bytes(place.location) or (0, 0)
        except (OSError, FrError) as error:
            log.warning("A store cannot be read: %s", describe(error))
            continue
        saved = place.chain == _SAVED and isinstance(place.location, Path)
        yield pb.StoreStatus(name=place.chain, size_bytes=size, disk_free_bytes=free, in_backups=saved)


def _packs(active: str) -> Iterator[pb.PackStatus]:
    cache = ModelCache(cache_folder())
    for pack in map(load_pack, pack_names()):
        yield pb.PackStatus(
            pack=pack.name,
            version=pack.version,
            embedding_size=pack.embedder.embedding_size,
            detector_licence=pack.detector.licence,
            embedder_licence=pack.embedder.licence,
            installed=all(cache.path(spec).is_file() for spec in pack.files),
            active=pack.name == active,
        )


class ServerService(server_pb2_grpc.ServerServiceServicer):
    """Tells what never changes while the server runs, and the state of one of its `frontends` and of its stores."""

    def __init__(self, config: Config, engine: Engine, tally: Tally, work: Work, frontends: int) -> None:
        self._info = server_info(config, engine)
        self._config = config
        self._pack = engine.pack.name
        self._tally = tally
        self._work = work
        self._frontends = frontends

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        told = pb.GetServerInfoResponse(notice=render(NOTICE))
        told.MergeFrom(self._info)
        return told

    async def GetServerStatus(self, request: pb.GetServerStatusRequest, context: Context) -> pb.GetServerStatusResponse:
        stores, packs = await self._work.storage(lambda: (list(_stores(self._config)), list(_packs(self._pack))))
        tally, times = self._tally, self._work.photo_times
        return pb.GetServerStatusResponse(
            start_time=timestamp_ms(tally.since_ms),
            calls_in_progress=tally.in_progress,
            ended=[
                pb.EndedCalls(outcome=outcome, count=count, server_fault=outcome in _FAULTS)
                for outcome, count in sorted(tally.ended.items())
            ],
            failed=[
                pb.FailedCall(
                    end_time=timestamp_ms(one.at_ms), method=one.method, reason=one.reason, request_id=one.request_id
                )
                for one in tally.newest
            ],
            frontends=self._frontends,
            photos=pb.PhotoWork(
                done=times.done,
                waiting=self._work.waiting_photos,
                median_s=times.within_s(0.5),
                p95_s=times.within_s(0.95),
            ),
            stores=stores,
            packs=packs,
        )
