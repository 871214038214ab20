"""The calls on results: reports and exports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.util import find_spec

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_core.errors import InvalidField, MissingField, NothingToReport, SessionUnfinished, UnknownReport
from fr_core.training.courses import Course
from fr_core.training.grading.cohort import cohort_figures
from fr_core.training.grading.partners import with_partners
from fr_core.training.grading.trainee import trainee_figures
from fr_core.training.results import Result
from fr_core.training.sessions.results import results
from fr_core.training.store.values import Cohort
from fr_server.services.training.desk import PIECE, Context, Desk
from fr_server.services.training.own_probe import told_later
from fr_server.services.training.storage import signing_key
from fr_training import report
from fr_training.exports import Finished, export

_FORMATS: Mapping[training_pb2.ExportFormat.ValueType, str] = {
    training_pb2.EXPORT_FORMAT_CSV: "csv",
    training_pb2.EXPORT_FORMAT_XAPI: "xapi",
    training_pb2.EXPORT_FORMAT_AGS: "ags",
    training_pb2.EXPORT_FORMAT_OPEN_BADGES: "open-badges",
}
_HTML = {
    training_pb2.TRAINING_REPORT_FILE_UNSPECIFIED: False,
    training_pb2.TRAINING_REPORT_FILE_JSON: False,
    training_pb2.TRAINING_REPORT_FILE_HTML: True,
}


class ResultCalls(training_pb2_grpc.TrainingServiceServicer):
    """Reports and exports; see `Desk` for what it works with."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def GetTrainingReport(  # noqa: N802
        self, request: training_pb2.GetTrainingReportRequest, context: Context
    ) -> AsyncIterator[training_pb2.GetTrainingReportResponse]:
        """Read a report, made of the answers that there are now."""
        if request.file not in _HTML:
            raise InvalidField("`file` has a value that this call does not know.", field="file")
        text = await self._desk.work.report(self._report, request)
        for piece in _pieces(text):
            yield training_pb2.GetTrainingReportResponse(content=piece)

    async def ExportResults(  # noqa: N802
        self, request: training_pb2.ExportResultsRequest, context: Context
    ) -> AsyncIterator[training_pb2.ExportResultsResponse]:
        """Write the results of a cohort."""
        if not request.format:
            raise MissingField("`format` is not set.", field="format")
        if request.format not in _FORMATS:
            raise InvalidField("`format` has a value that this call does not know.", field="format")
        text = await self._desk.work.report(self._exported, request.cohort_id, _FORMATS[request.format])
        for piece in _pieces(text):
            yield training_pb2.ExportResultsResponse(content=piece)

    def _report(self, request: training_pb2.GetTrainingReportRequest) -> str:
        whom, store = request.WhichOneof("whom"), self._desk.store
        html = _HTML[request.file]
        if html and find_spec("matplotlib") is None:
            raise UnknownReport("The server has no matplotlib, which pages need: install the extra `report` there.")
        if whom is None:
            raise MissingField("The request says neither whose report is wanted nor of which cohort.", field="whom")
        if whom == "cohort_id":
            course, _, by_trainee = self._results(request.cohort_id)
            _require_some(any(by_trainee.values()))
            figures = cohort_figures(course, by_trainee)
            return report.cohort_html(course, figures) if html else report.cohort_json(course, figures)
        if whom == "code":
            trainee = store.trainee_of_code(request.code)
            if any(session.finished_ms is None for session in store.sessions_of(trainee.trainee_id)):
                raise SessionUnfinished("A session of yours is not finished.")
        else:
            trainee = store.trainee(request.trainee_id)
        course, _, by_trainee = self._results(trainee.cohort_id)
        own = by_trainee[trainee.trainee_id]
        _require_some(bool(own))
        of_trainee = trainee_figures(course, own, by_trainee)
        return report.trainee_html(course, of_trainee) if html else report.trainee_json(course, of_trainee)

    def _exported(self, cohort_id: str, form: str) -> str:
        course, cohort, by_trainee = self._results(cohort_id)
        store = self._desk.store
        sessions = store.cohort_sessions(cohort_id)
        finished = [
            Finished(one.trainee_id, one.sitting, one.started_ms, one.finished_ms)
            for one in sessions
            if one.finished_ms is not None
        ]
        key = signing_key(self._desk.folder)
        return export(form, course, cohort.display_name, by_trainee, finished, key, self._desk.now_ms())

    def _results(self, cohort_id: str) -> tuple[Course, Cohort, Mapping[str, tuple[Result, ...]]]:
        """What each trainee of a cohort has done, in the order of the sessions; nothing for those who did nothing."""
        store = self._desk.store
        cohort = store.cohort(cohort_id)
        course = store.course(cohort.course_id)
        found: dict[str, tuple[Result, ...]] = {one.trainee_id: () for one in store.trainees(cohort_id)}
        for session in store.cohort_sessions(cohort_id):
            found[session.trainee_id] += results(course, told_later(store, course, session))
        return course, cohort, with_partners(found)


def _require_some(there: bool) -> None:
    if not there:
        raise NothingToReport("No trial was answered yet.")


def _pieces(text: str) -> Iterator[bytes]:
    data = text.encode()
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]
