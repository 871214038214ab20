"""A server: it listens, makes its galleries ready, answers calls, and drains."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from fr_api.v1 import (
    access_pb2_grpc,
    audit_pb2_grpc,
    evaluation_pb2_grpc,
    gallery_pb2_grpc,
    recognition_pb2_grpc,
    review_pb2_grpc,
    server_pb2_grpc,
    training_pb2_grpc,
    video_pb2_grpc,
)
from fr_core.engine import Engine
from fr_core.errors import NotReady, ShuttingDown, TlsUnusable, message
from fr_core.storage.duties import Duties
from fr_evaluation.stored import Reports
from fr_server.authz.access_audit import GatewayAudit, Journal
from fr_server.authz.authenticate import asks_who_calls, default_budget, make_authenticator
from fr_server.authz.scope import StoreResolver
from fr_server.clock import SteadyClock
from fr_server.config import Config, folders
from fr_server.config.streams import allowed_streams
from fr_server.ending import log_lost_device, while_serving, while_writing
from fr_server.gateway.listening import Listening, channel_limits
from fr_server.jobs.periodic import KEY_ENDS_EVERY_S, for_ever, tell_key_ends, watch
from fr_server.jobs.pruning import Checkpoints, Pruning
from fr_server.pools import Work, photo_threads
from fr_server.rpc.interceptors.admission import Admission
from fr_server.rpc.interceptors.boundary import Boundary
from fr_server.rpc.interceptors.guard import Guard
from fr_server.rpc.interceptors.streams import Streams
from fr_server.rpc.services.access import AccessService
from fr_server.rpc.services.audit import AuditService
from fr_server.rpc.services.decisions import Decisions, compared_settings
from fr_server.rpc.services.evaluation import EvaluationService
from fr_server.rpc.services.gallery import GalleryService, unspecified_use
from fr_server.rpc.services.gallery_faces import GalleryFaces
from fr_server.rpc.services.probes import Probes
from fr_server.rpc.services.recognition import RecognitionService
from fr_server.rpc.services.review import ReviewService
from fr_server.rpc.services.review_evidence import EvidenceRoom
from fr_server.rpc.services.server import HealthService, ServerService
from fr_server.rpc.services.training.resources import TrainingResources
from fr_server.rpc.services.training.service import TrainingService
from fr_server.rpc.services.training.storage import purge_training
from fr_server.rpc.services.video import VideoService
from fr_server.rpc.services.video_analysis import Analyses
from fr_server.rpc.services.watching import Watches
from fr_server.storage.audits import audits_of
from fr_server.storage.calls import GalleryCalls
from fr_server.storage.footage import FootageFolder
from fr_server.storage.opening import Stores, budgets_of, open_footage, open_stores, purge_cases
from fr_server.storage.peers import Peers
from fr_server.telemetry.listener import Tally
from fr_server.telemetry.open import Telemetry, together
from fr_video.values import VideoLimits

log = logging.getLogger("fr_server")

SERVICES = tuple(
    f"fr_api.v1.{name}Service"
    for name in ("Recognition", "Gallery", "Evaluation", "Training", "Review", "Access", "Audit", "Server", "Video")
)

# After the last answers, their callers may call again at once. gRPC would cancel calls not yet handed over.
_LAST_REFUSALS_S = 0.25
# For answers that are on their way when the last call has ended.
_LAST_WORDS_S = 0.5
# Between two looks at what is due to be deleted; access to it ends at its time.
_PURGE_S = 3600.0
# Calls that have arrived and wait for the event loop to refuse or admit them; some hundred bytes each.
_MAX_PENDING = 100_000
# A client that vanished without a word is noticed after both, and its calls end.
_KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS = 60_000, 20_000


Load = Callable[[Callable[[], None]], None]
"""Makes galleries ready; calls its argument between blocks of vectors, pieces of an index and steps of a purge.

What that raises ends it.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one process in a server that has several."""

    port: int  # that all of them listen on
    max_in_flight: int  # as `server.max_in_flight`, for this one
    workers: int  # as `model.workers`, for this one; never 0


class App:
    """A server: `start`, then `stop`, within one event loop. It owns what it is given, and closes it.

    Args:
        telemetry: is told of both; None = nobody is.
        part: of the server; None = all of it.
        load: makes the galleries ready; None = they are.
        broken: fails when the galleries can take no more changes, as `Galleries.broken`; None = nobody tells.
        guard: lets nobody call who may not; None = that of the configuration and the keys that there are.
        clock: tells the time of everything that is kept; None = as the machine tells it at the start.
        peers: this server among those that share its stores, which it leaves at the end; None = it has no others.
    """

    def __init__(
        self,
        config: Config,
        engine: Engine,
        galleries: GalleryCalls,
        telemetry: Telemetry | None = None,
        part: Part | None = None,
        load: Load | None = None,
        broken: Future[None] | None = None,
        guard: Guard | None = None,
        clock: Callable[[], int] | None = None,
        peers: Peers | None = None,
    ) -> None:
        self.config = config
        self.engine = engine
        self.galleries = galleries
        self.telemetry = telemetry or Telemetry()
        self.telemetry.running_on(engine.device, engine.pack.name)
        self.port = 0
        self._shares_port = part is not None
        self._part = part or Part(
            config.server.port, config.server.max_in_flight, config.model.workers or photo_threads(engine.device)
        )
        self._load = load
        self._broken = broken or Future()
        self._guard = guard
        self._given_up = False
        self._engine_answers = True
        self._asks = False
        self._admission = Admission(self._part.max_in_flight, config.limits.call_s, config.limits.streams_per_caller)
        self._health = HealthService(SERVICES)
        self._work: Work | None = None
        self._peers = peers
        self._clock = clock or SteadyClock()
        self._tally = Tally(self._clock)
        self._stores: Stores | None = None
        self._footage: FootageFolder | None = None
        self._watched = allowed_streams(config.video.watch)
        self._gateway_audit: GatewayAudit | None = None
        self._listening: Listening | None = None
        self._reloading = asyncio.Lock()
        self._checkpoints: Checkpoints | None = None
        self._pruning: Pruning | None = None
        self._duties: Duties | None = None
        self._chores: list[asyncio.Task[None]] = []
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen, then read the galleries; until this returns calls are refused. `port` is that which is listened on.

        Raises:
            AddressUnavailable: the address cannot be listened on.
            StoreCorrupt, StoreFailed: the galleries, or another store, cannot be read.
            StoreNewer, StoreInUse, WrongKey, KeyUnavailable: a store cannot be opened.
            TlsUnusable: a certificate or its key cannot be used.
            ConfigInvalid: the keys of the issuer of tokens, or the folder of checkpoints, cannot be used.
            ShuttingDown: the server was told to stop before it was ready.
        """
        folders.require_audit_folders(self.config)
        if self._load is not None:
            self._admission.refuse(NotReady(message("error.server.server_reading_galleries")))
        self._work = Work(self._part.workers)
        await asyncio.to_thread(self.telemetry.start)
        self._stores = await asyncio.to_thread(open_stores, self.config, self._clock, self.telemetry.shared)
        self._footage = await asyncio.to_thread(open_footage, self.config, self._clock)
        trust = self.telemetry.trust
        broken = {"galleries": self._broken, **self._stores.broken}
        watch(self.telemetry, self.config, self.galleries, broken)
        self._gateway_audit = GatewayAudit(self._stores.access, trust)
        self._listening = Listening(self.config, self._part.port, self._shares_port, self._gateway_audit)
        self._asks = asks_who_calls(self.config, self._stores.access)
        if not self._asks:
            log.warning("Nobody is asked who calls: everybody on this machine may do everything")
        if self._guard is None:
            certificate_of = self._listening.certificate_of
            authenticator = await make_authenticator(self.config, self._stores.access, certificate_of, self._clock)
            self._guard = Guard(
                authenticator,
                budgets_of(self._stores, self._clock),
                Journal(self._stores.access),
                trust,
                streams=Streams(self.config.limits.stall_s),
            )
        self._guard.authorizer.resolve_with(
            StoreResolver(self._stores.training, self._stores.cases, self._work.storage)
        )
        self._server = self._new_server(self._guard)
        self._add_services(self._server, self._work, self._stores, self._guard)
        self._listening.bind(self._server)
        self._tell_health(serving=False)
        await self._server.start()
        await asyncio.to_thread(self._listening.open)
        self._listening.tell(trust)
        self.port = self._listening.port
        if self._load is not None:
            await asyncio.to_thread(self._load, self._require_going_on)
            self._admission.admit()
        self._begin_chores(self._stores, self._footage)
        self._tell_health(serving=True)
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(self._lost_device)

        self.engine.lifeline.watch(tell)

    def _new_server(self, guard: Guard) -> grpc.aio.Server:
        return grpc.aio.server(
            interceptors=(
                Boundary(together(self.telemetry.listener, self._tally), self.config.limits.call_s),
                guard,
                self._admission,
            ),
            options=(
                ("grpc.max_receive_message_length", self.config.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                # gRPC cancels what comes beyond these, without a reason; we refuse, with one.
                ("grpc.server.max_pending_requests", _MAX_PENDING),
                ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING),
                ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
                ("grpc.so_reuseport", int(self._shares_port)),  # else a second server would silently share the port
                *channel_limits(
                    streams=self.config.limits.streams_per_connection,
                    metadata_bytes=self.config.limits.metadata_bytes,
                    handshake_s=self.config.limits.handshake_s,
                    idle_s=self.config.limits.idle_s,
                ),
            ),
        )

    def _begin_chores(self, stores: Stores, footage: FootageFolder) -> None:
        training, failed = stores.training, self.telemetry.chore_failed
        self._duties = Duties(stores.leases, told=self.telemetry.shared.lease)
        alone = self._duties.alone
        purge_courses = alone("purge_training", partial(purge_training, training, self.galleries))
        chores = [
            for_ever("purge_training", _PURGE_S, purge_courses, failed),
            for_ever("purge_cases", _PURGE_S, alone("purge_cases", partial(purge_cases, stores.cases)), failed),
            for_ever("purge_footage", _PURGE_S, footage.purge, failed),
            for_ever("key_ends", KEY_ENDS_EVERY_S, partial(tell_key_ends, stores.access, self.telemetry.trust), failed),
        ]
        if (grants := stores.grants) is not None:
            chores.append(for_ever("sweep_budgets", _PURGE_S, alone("sweep_budgets", grants.sweep), failed))
        if self._pruning is not None:
            chores.append(for_ever("prune_audit", _PURGE_S, alone("prune_audit", self._pruning.prune), failed))
        if self._checkpoints is not None:
            every_s, write = self.config.audit.checkpoint_every_s, alone("checkpoints", self._checkpoints.write)
            chores.append(for_ever("checkpoints", every_s, write, failed))
        self._chores = [asyncio.create_task(chore) for chore in chores]

    def give_up(self) -> None:
        """Let `start` raise `ShuttingDown` soon, if it has not ended."""
        self._given_up = True

    @property
    def target(self) -> str:
        """Return as `Listening.target`, once the server has started."""
        assert self._listening is not None
        return self._listening.target

    async def broken(self) -> None:
        """Wait, as long as the server can go on; raise `InternalError` if a store takes no changes or gRPC no calls."""
        stores = [] if self._stores is None else self._stores.broken.values()
        going_on = [asyncio.ensure_future(while_writing(self._broken, *stores))]
        if self._server is not None and self._work is not None:
            going_on.append(asyncio.ensure_future(while_serving(self._server, self._work.draining)))
        try:
            done, _ = await asyncio.wait(going_on, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for one in going_on:
                one.cancel()

    def engine_answers(self, answers: bool) -> None:
        """Note whether the process that runs the models answers; if not, refuse calls and report it in health."""
        draining = self._work is None or self._work.draining.is_set()
        if answers == self._engine_answers or draining:
            return
        self._engine_answers = answers
        if answers:
            log.warning("The engine's process answers again")
            self._admission.admit()
        else:
            log.error("The engine's process does not answer; refusing calls until it does")
            self._admission.refuse(NotReady(message("error.server.process_runs_models_does")))
        self._tell_health(serving=answers and not self.engine.lifeline.lost)

    async def reload(self) -> None:
        """Read certificates and their keys again; what cannot be used is told in the log, and not taken."""
        async with self._reloading:  # the last of them has what there is last
            if self._listening is None:
                return
            try:
                await asyncio.to_thread(self._listening.reload)  # the disk may take its time
            except TlsUnusable as error:
                log.error("The certificates were not reloaded: %s: %s", error.reason, error.message)
                self.telemetry.trust.reload_refused(error.reason)
            else:
                log.info("The certificates were read again")
                self._listening.tell(self.telemetry.trust)

    async def stop(self) -> None:
        """Refuse new calls, let those in work end within `server.drain_s`, then close everything."""
        async with contextlib.AsyncExitStack() as closing:  # whatever fails, the rest is closed
            if self._peers is not None:
                closing.push_async_callback(asyncio.to_thread, self._peers.close)
            for close in (self.telemetry.close, self.galleries.close, self.engine.close):
                closing.push_async_callback(asyncio.to_thread, close)
            if self._stores is not None:
                closing.push_async_callback(asyncio.to_thread, self._stores.close)
            if self._gateway_audit is not None:
                closing.callback(self._gateway_audit.drain)
            for chore in self._chores:
                chore.cancel()
            if self._duties is not None:
                closing.push_async_callback(asyncio.to_thread, self._duties.close)
            if self._listening is not None:
                closing.push_async_callback(asyncio.to_thread, self._listening.close, 0.0)
            await self._drain()
            if self._guard is not None:
                await self._guard.close()
            if self._checkpoints is not None:
                await asyncio.to_thread(self._checkpoints.write)

    async def _drain(self) -> None:
        if self._server is not None and self._work is not None:
            self._admission.refuse(ShuttingDown(message("error.runtime.server_shutting_down")))
            self._work.draining.set()
            self._health.end()
            self.telemetry.serving(False)
            # Not `stop(drain_s)`: a watcher of the health holds a call open for ever.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._admission.idle.wait(), self.config.server.drain_s)
            await asyncio.sleep(_LAST_REFUSALS_S)
            await self._server.stop(_LAST_WORDS_S)
            await asyncio.to_thread(self._work.close)

    def _require_going_on(self) -> None:
        if self._given_up:
            raise ShuttingDown(message("error.runtime.server_shutting_down"))

    def _lost_device(self) -> None:
        log_lost_device(self.engine)
        self._tell_health(serving=False)

    def _tell_health(self, serving: bool) -> None:
        self._health.tell(serving)
        self.telemetry.serving(self._health.serving)

    def _add_services(self, server: grpc.aio.Server, work: Work, stores: Stores, guard: Guard) -> None:
        assert self._footage is not None
        window, pipeline, access = self.config.server.stream_window, self.engine.pipeline, self.config.access
        probes = Probes(pipeline, work)
        threshold = self.engine.pack.thresholds.similarity
        decisions = Decisions(pipeline.model, threshold, self.engine.calibration, compared_settings(self.engine))
        recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(
            RecognitionService(probes, work, decisions, window), server
        )
        gallery = GalleryService(
            self.galleries, probes, work, self.config.quality, decisions, window, unspecified_use(self._asks)
        )
        gallery_pb2_grpc.add_GalleryServiceServicer_to_server(gallery, server)
        evidence = EvidenceRoom(stores.cases, self.galleries, pipeline, decisions, self._clock)
        review_pb2_grpc.add_ReviewServiceServicer_to_server(
            ReviewService(
                stores.cases,
                self.galleries,
                gallery.faces,
                evidence,
                self._footage,
                work,
                self._clock,
                self.config.cases.least_retention_days,
            ),
            server,
        )
        self._add_videos(server, work, gallery.faces, guard)
        reports = Reports(folders.reports_folder(self.config), self.config.gallery.reserve_mib * 2**20)
        evaluation_pb2_grpc.add_EvaluationServiceServicer_to_server(
            EvaluationService(self.engine, self.config.model.flip, self._part.workers, reports, work), server
        )
        resources = TrainingResources(
            stores.training,
            folders.training_folder(self.config),
            self.engine,
            self.galleries,
            work,
            self._part.workers,
            self._clock,
        )
        training_pb2_grpc.add_TrainingServiceServicer_to_server(TrainingService(resources), server)
        left = guard.authorizer.searches_left
        access_pb2_grpc.add_AccessServiceServicer_to_server(
            AccessService(stores.access, default_budget(access), access.key_days, work, left), server
        )
        audits = audits_of(self.galleries, stores.training, stores.cases, stores.access)
        audit_pb2_grpc.add_AuditServiceServicer_to_server(AuditService(audits, evidence.public_key, work), server)
        if (folder := folders.checkpoint_folder(self.config)) is not None:
            self._checkpoints = Checkpoints(audits, folder, self.telemetry.trust)
        if keep_days := self.config.audit.keep_days:
            self._pruning = Pruning(audits, keep_days, folders.archive_folder(self.config), self._clock)
        server_pb2_grpc.add_ServerServiceServicer_to_server(
            ServerService(
                self.config,
                self.engine,
                self._tally,
                work,
                self.config.server.frontends if self._shares_port else 0,
            ),
            server,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self.config.server.reflection and not self._asks:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)

    def _add_videos(self, server: grpc.aio.Server, work: Work, faces: GalleryFaces, guard: Guard) -> None:
        assert self._footage is not None
        limits = VideoLimits(max_bytes=self._footage.rules.max_bytes, max_seconds=self.config.video.max_seconds)
        analyses = Analyses(self.engine, work, limits, self.config.video.analysis_s)
        count = guard.authorizer.count_search
        watches = Watches(self._watched, self.engine, self.galleries, faces, work, limits, count)
        service = VideoService(self._footage, analyses, faces, watches, work, count)
        video_pb2_grpc.add_VideoServiceServicer_to_server(service, server)
