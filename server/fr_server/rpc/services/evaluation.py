"""EvaluationService: how the model errs, measured with the pipeline that answers all other calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fr_api.v1 import evaluation_pb2 as pb
from fr_api.v1 import evaluation_pb2_grpc
from fr_core.engine import Engine
from fr_core.errors import EvaluationRunning, Overloaded, ShuttingDown, message
from fr_core.gallery.pages import last_of, page_token
from fr_core.runtime.ticket import current_ticket
from fr_core.sharing import Places
from fr_datasets.links import datasets_folder
from fr_evaluation.files import AnyReport
from fr_evaluation.identification.run import read_people, run_identification
from fr_evaluation.offers import offers
from fr_evaluation.photos import OnProgress
from fr_evaluation.stored import KeptReport, Reports
from fr_evaluation.stored_files import files_of, summary_of
from fr_evaluation.verification.run import read_pairs, run_verification
from fr_locales.rendering import ENGLISH, speaking
from fr_server.authz.callers import current_sharer
from fr_server.pools import KEPT_S, Work
from fr_server.rpc.convert.evaluation import dataset_message, file_name, gallery_sizes, report_message, sent_seed
from fr_server.rpc.convert.gallery import page_size
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.datasets import dataset_errors, dataset_root
from fr_server.telemetry.logs import FIELDS

log = logging.getLogger("fr_server.evaluation")


# Between two looks at how far an evaluation has come.
_LOOK_S = 0.1
# Of a file, in a message.
_PIECE = 2**20
# What page tokens are bound to.
_LIST = "reports"


class EvaluationService(evaluation_pb2_grpc.EvaluationServiceServicer):
    """Measures one thing at a time, on the data sets that `fr dataset link` remembers on this machine.

    It measures `engine`, where calls that people wait for go before its photos, with `workers` photos at a time, at
    least 1. `flip` says whether the engine fuses embeddings with those of the mirrored face. `work` runs what blocks,
    and ends an evaluation when it drains.
    """

    def __init__(self, engine: Engine, flip: bool, workers: int, reports: Reports, work: Work) -> None:
        self._engine = engine
        self._flip = flip
        self._workers = workers
        self._reports = reports
        self._work = work
        self._runs = Places(1, message("error.sharing.evaluations"), kept_s=KEPT_S)

    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Context) -> pb.ListDatasetsResponse:
        def found() -> list[pb.Dataset]:
            with dataset_errors():
                return [dataset_message(offer) for offer in offers(datasets_folder())]

        return pb.ListDatasetsResponse(datasets=await self._work.storage(found))

    async def RunVerification(
        self, request: pb.RunVerificationRequest, context: Context
    ) -> AsyncIterator[pb.RunVerificationResponse]:
        seed = sent_seed(request)

        def measure(on_progress: OnProgress) -> AnyReport:
            return run_verification(
                self._engine,
                read_pairs(request.dataset, dataset_root(request.dataset, "verification")),
                flip=self._flip,
                seed=seed,
                workers=self._workers,
                clock=_now,
                on_progress=on_progress,
            )

        async for event in self._steps(measure):
            yield pb.RunVerificationResponse(**event)

    async def RunIdentification(
        self, request: pb.RunIdentificationRequest, context: Context
    ) -> AsyncIterator[pb.RunIdentificationResponse]:
        seed, sizes = sent_seed(request), gallery_sizes(request)

        def measure(on_progress: OnProgress) -> AnyReport:
            return run_identification(
                self._engine,
                read_people(request.dataset, dataset_root(request.dataset, "identification")),
                sizes=sizes,
                flip=self._flip,
                seed=seed,
                workers=self._workers,
                clock=_now,
                on_progress=on_progress,
            )

        async for event in self._steps(measure):
            yield pb.RunIdentificationResponse(**event)

    async def GetReport(self, request: pb.GetReportRequest, context: Context) -> AsyncIterator[pb.GetReportResponse]:
        name = file_name(request.file)
        report, file = await self._work.storage(self._reports.open, request.report_id, name)
        with file:
            yield pb.GetReportResponse(report=report_message(report))
            while piece := await self._work.storage(file.read, _PIECE):
                yield pb.GetReportResponse(content=piece)

    async def ListReports(self, request: pb.ListReportsRequest, context: Context) -> pb.ListReportsResponse:
        before = last_of(_LIST, request.page_token)
        page = await self._work.storage(self._reports.page, before, page_size(request))
        if page.damaged:
            log.warning("%d reports cannot be read, and are left out of a list", page.damaged)
        return pb.ListReportsResponse(
            reports=map(report_message, page.reports),
            next_page_token=page_token(_LIST, page.reports[-1].report_id) if page.more else "",
        )

    async def DeleteReport(self, request: pb.DeleteReportRequest, context: Context) -> pb.DeleteReportResponse:
        await self._work.storage(self._reports.delete, request.report_id)
        return pb.DeleteReportResponse()

    async def _steps(self, measure: Callable[[OnProgress], AnyReport]) -> AsyncIterator[dict[str, Any]]:
        """Measure, and yield each event of the answer by the name of its field; holds no thread but that which does.

        The ticket of a call that ends tells the threads to end: at their next photo, or their next block of figures.
        """
        caller = current_sharer()
        try:
            self._runs.take(caller)
        except Overloaded as refusal:
            raise EvaluationRunning(message("error.rpc.server_runs_evaluation_another")) from refusal
        seen = _Seen()
        running = asyncio.ensure_future(self._work.evaluation(self._kept, measure, seen))
        running.add_done_callback(partial(self._ended, caller))
        while not running.done():
            await asyncio.wait((running,), timeout=_LOOK_S)
            if self._work.draining.is_set() and not running.done():
                raise ShuttingDown(message("error.rpc.server_shutting_down_measure"))
            for progress in seen.new():
                yield {"progress": progress}
        yield {"report": report_message(running.result())}

    def _kept(self, measure: Callable[[OnProgress], AnyReport], seen: _Seen) -> KeptReport:
        self._reports.require_room()
        with dataset_errors():
            report = measure(seen)
        current_ticket().require_wanted()
        seen.writing()
        with speaking(ENGLISH):  # others read it too, for years
            kept = self._reports.keep(summary_of(report, self._engine.pipeline.model), files_of(report))
        summary, photos, seconds = kept.summary, report.dataset.photos, round(report.seconds, 1)
        fields = {"kind": summary.kind, "dataset": summary.dataset, "photos": photos, "seconds": seconds}
        log.info("Measured: %s on %s, %d photos, %.1f s", *fields.values(), extra={FIELDS: fields})
        return kept

    def _ended(self, caller: str, running: asyncio.Future[KeptReport]) -> None:
        self._runs.give_back(caller)
        if not running.cancelled():
            running.exception()  # which nobody may wait for any more


class _Seen:
    def __init__(self) -> None:
        self._now = self._told = pb.EvaluationProgress()

    def __call__(self, photos: int, total: int) -> None:
        stage = pb.EVALUATION_STAGE_PHOTOS
        if photos == total:
            stage = pb.EVALUATION_STAGE_FIGURES
        self._now = pb.EvaluationProgress(photos=photos, total=total, stage=stage)

    def writing(self) -> None:
        stage, photos = pb.EVALUATION_STAGE_WRITING, self._now.total
        self._now = pb.EvaluationProgress(photos=photos, total=photos, stage=stage)

    def new(self) -> Iterator[pb.EvaluationProgress]:
        """Yield how far it is now, unless that was told; at first also that no photo was done."""
        now = self._now
        if now.stage and not self._told.stage:
            stage = pb.EVALUATION_STAGE_PHOTOS
            self._told = pb.EvaluationProgress(total=now.total, stage=stage)
            yield self._told
        if now != self._told:
            self._told = now
            yield now


def _now() -> datetime:
    return datetime.now(UTC)
