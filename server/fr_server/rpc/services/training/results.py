"""Answers the calls on results: reports and exports, made of what the trainees of a cohort have done at one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from importlib.util import find_spec

from fr_api.v1 import training_pb2 as pb
from fr_api.v1 import training_pb2_grpc
from fr_core.errors import InvalidField, MissingField, UnknownReport, message
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.training.own_probe import with_known_truth
from fr_server.rpc.services.training.resources import PIECE, TrainingResources
from fr_server.rpc.services.training.storage import signing_key
from fr_training import report
from fr_training.courses import Course
from fr_training.errors import NothingToReport, SessionUnfinished, UnknownTrainee
from fr_training.exports import Finished, export
from fr_training.grading.reports import cohort_figures, trainee_figures
from fr_training.grading.verification import with_partners
from fr_training.sessions.results import results
from fr_training.store.training_store import TrainingStore
from fr_training.store.values import Cohort
from fr_training.trials import Result, Session


@dataclass(frozen=True, slots=True)
class CohortRecord:
    """A cohort and the results of its trainees."""

    course: Course
    cohort: Cohort
    sessions: tuple[Session, ...]  # of its trainees, in the order in which they were begun
    # Trainee id -> rows, in the order of the sessions; none for those who did nothing.
    by_trainee: Mapping[str, tuple[Result, ...]]


def read_cohort(store: TrainingStore, cohort_id: str) -> CohortRecord:
    """Read what each trainee of a cohort has done; raises `UnknownCohort`, or `UnknownCourse` if it was deleted."""
    found = store.changes_since(cohort_id, -1)
    rows: dict[str, list[Result]] = {one.trainee_id: [] for one in found.trainees}
    for session in found.sessions:
        rows[session.trainee_id].extend(results(found.course, with_known_truth(store, found.course, session)))
    by_trainee = {trainee_id: tuple(own) for trainee_id, own in rows.items()}
    return CohortRecord(found.course, found.cohort, found.sessions, by_trainee)


_FORMATS: Mapping[pb.ExportFormat.ValueType, str] = {
    pb.EXPORT_FORMAT_CSV: "csv",
    pb.EXPORT_FORMAT_XAPI: "xapi",
    pb.EXPORT_FORMAT_AGS: "ags",
    pb.EXPORT_FORMAT_OPEN_BADGES: "open-badges",
}
_HTML = {
    pb.TRAINING_REPORT_FILE_UNSPECIFIED: False,
    pb.TRAINING_REPORT_FILE_JSON: False,
    pb.TRAINING_REPORT_FILE_HTML: True,
}


class ResultCalls(training_pb2_grpc.TrainingServiceServicer):
    """Reports and exports."""

    def __init__(self, resources: TrainingResources) -> None:
        self._resources = resources

    async def GetTrainingReport(
        self, request: pb.GetTrainingReportRequest, context: Context
    ) -> AsyncIterator[pb.GetTrainingReportResponse]:
        if request.file not in _HTML:
            raise InvalidField(message("error.rpc.file_value_call_does"), field="file")
        async with aclosing(self._resources.work.report(lambda: self._report(request).encode(), PIECE)) as pieces:
            async for piece in pieces:
                yield pb.GetTrainingReportResponse(content=piece)

    async def ExportResults(
        self, request: pb.ExportResultsRequest, context: Context
    ) -> AsyncIterator[pb.ExportResultsResponse]:
        if not request.format:
            raise MissingField(message("error.rpc.format_not_set"), field="format")
        if request.format not in _FORMATS:
            raise InvalidField(message("error.rpc.format_value_call_does"), field="format")
        form = _FORMATS[request.format]
        async with aclosing(
            self._resources.work.report(lambda: self._exported(request.cohort_id, form).encode(), PIECE)
        ) as pieces:
            async for piece in pieces:
                yield pb.ExportResultsResponse(content=piece)

    def _report(self, request: pb.GetTrainingReportRequest) -> str:
        whom, store = request.WhichOneof("whom"), self._resources.store
        html = _HTML[request.file]
        if html and find_spec("matplotlib") is None:
            raise UnknownReport(message("error.rpc.server_no_matplotlib_pages"))
        if whom is None:
            raise MissingField(message("error.rpc.request_says_neither_whose"), field="whom")
        if whom == "cohort_id":
            found = read_cohort(store, request.cohort_id)
            _require_some(any(found.by_trainee.values()))
            figures = cohort_figures(found.course, with_partners(found.by_trainee))
            return report.cohort_html(found.course, figures) if html else report.cohort_json(found.course, figures)
        if whom == "code":
            trainee = store.trainee_of_code(request.code)
            if any(session.finished_ms is None for session in store.sessions_of(trainee.trainee_id)):
                raise SessionUnfinished(message("error.rpc.session_yours_not_finished"))
        else:
            trainee = store.trainee(request.trainee_id)
        found = read_cohort(store, trainee.cohort_id)
        if trainee.trainee_id not in found.by_trainee:
            raise UnknownTrainee(message("error.rpc.trainee_deleted_meanwhile"))
        by_trainee = with_partners(found.by_trainee)
        own = by_trainee[trainee.trainee_id]
        _require_some(bool(own))
        of_trainee = trainee_figures(found.course, own, by_trainee)
        return report.trainee_html(found.course, of_trainee) if html else report.trainee_json(found.course, of_trainee)

    def _exported(self, cohort_id: str, form: str) -> str:
        found = read_cohort(self._resources.store, cohort_id)
        finished = [
            Finished(one.trainee_id, one.sitting, one.started_ms, one.finished_ms)
            for one in found.sessions
            if one.finished_ms is not None
        ]
        key = signing_key(self._resources.folder)
        by_trainee = with_partners(found.by_trainee)
        return export(
            form, found.course, found.cohort.display_name, by_trainee, finished, key, self._resources.now_ms()
        )


def _require_some(there: bool) -> None:
    if not there:
        raise NothingToReport(message("error.rpc.no_trial_answered_yet"))
