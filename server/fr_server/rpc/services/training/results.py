"""Answers the calls on results: reports and exports, made of what the trainees of a cohort have done at one moment."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from importlib.util import find_spec
from itertools import accumulate

from fr_api.v1 import training_pb2 as pb
from fr_api.v1 import training_pb2_grpc
from fr_core.errors import InvalidField, MissingField, UnknownReport, message
from fr_locales.rendering import spoken
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.training.own_probe import CohortRecord, class_items, read_cohort
from fr_server.rpc.services.training.resources import PIECE, TrainingResources
from fr_server.rpc.services.training.storage import signing_key
from fr_training import report
from fr_training.errors import NothingToReport, NotReleased, SessionUnfinished, UnknownTrainee
from fr_training.exports import CohortResults, Finished, certificate_html, export
from fr_training.grading.reports import cohort_figures, conduct_of, trainee_figures
from fr_training.grading.verification import with_partners

_FORMATS: Mapping[pb.ExportFormat.ValueType, str] = {
    pb.EXPORT_FORMAT_CSV: "csv",
    pb.EXPORT_FORMAT_XAPI: "xapi",
    pb.EXPORT_FORMAT_AGS: "ags",
    pb.EXPORT_FORMAT_OPEN_BADGES: "open-badges",
}
_FILES = {
    pb.TRAINING_REPORT_FILE_UNSPECIFIED: "json",
    pb.TRAINING_REPORT_FILE_JSON: "json",
    pb.TRAINING_REPORT_FILE_HTML: "html",
    pb.TRAINING_REPORT_FILE_DECK: "deck",
    pb.TRAINING_REPORT_FILE_CERTIFICATE: "certificate",
}
MOST_IN_DECK, MOST_PHOTOS = 40, 400
"""Items of a deck, and their photos, of 64 KiB each: more is no page that a browser opens."""


class ResultCalls(training_pb2_grpc.TrainingServiceServicer):
    """Reports and exports."""

    def __init__(self, resources: TrainingResources) -> None:
        self._resources = resources

    async def GetTrainingReport(
        self, request: pb.GetTrainingReportRequest, context: Context
    ) -> AsyncIterator[pb.GetTrainingReportResponse]:
        if request.file not in _FILES:
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
        form, cohort = _FORMATS[request.format], partial(read_cohort, self._resources.store, request.cohort_id)
        async with aclosing(
            self._resources.work.report(lambda: export(form, self._to_export(cohort())).encode(), PIECE)
        ) as pieces:
            async for piece in pieces:
                yield pb.ExportResultsResponse(content=piece)

    def _report(self, request: pb.GetTrainingReportRequest) -> str:
        whom, file, store = request.WhichOneof("whom"), _FILES[request.file], self._resources.store
        if file == "html" and find_spec("matplotlib") is None:
            raise UnknownReport(message("error.rpc.server_no_matplotlib_pages"))
        if whom is None:
            raise MissingField(message("error.rpc.request_says_neither_whose"), field="whom")
        if whom == "cohort_id":
            return self._of_cohort(self._read(request.cohort_id, file), file)
        if whom == "code":
            trainee = store.trainee_of_code(request.code)
            if any(session.finished_ms is None for session in store.sessions_of(trainee.trainee_id)):
                raise SessionUnfinished(message("error.rpc.session_yours_not_finished"))
        else:
            trainee = store.trainee(request.trainee_id)
        return self._of_trainee(self._read(trainee.cohort_id, file), trainee.trainee_id, file)

    def _read(self, cohort_id: str, file: str) -> CohortRecord:
        """Read a cohort; reports and decks show the plan in the language of the call, other files its own texts."""
        found = read_cohort(self._resources.store, cohort_id)
        return found.in_language(spoken()) if file in ("html", "deck") else found

    def _of_cohort(self, found: CohortRecord, file: str) -> str:
        if file == "certificate":
            raise InvalidField(message("error.rpc.certificate_of_trainee"), field="file")
        _require_some(any(found.by_trainee.values()))
        course, store = found.course, self._resources.store
        if file == "deck":
            every = class_items(store, found)
            if not every:
                raise NotReleased(message("error.rpc.nothing_released"))
            photos = accumulate(len(one.photos) for one in every)
            items = [one for one, number in zip(every, photos, strict=True) if number <= MOST_PHOTOS][:MOST_IN_DECK]
            numbers = {number for one in items for number in one.photos}
            pictures = {one: store.picture(course.course_id, one) for one in numbers}
            return report.deck_html(course, items, len(every) - len(items), pictures)
        conduct = conduct_of(course, found.sessions, found.cohort.closed)
        figures = cohort_figures(course, with_partners(found.by_trainee), conduct)
        return report.cohort_html(course, figures) if file == "html" else report.cohort_json(course, figures)

    def _of_trainee(self, found: CohortRecord, trainee_id: str, file: str) -> str:
        if trainee_id not in found.by_trainee:
            raise UnknownTrainee(message("error.rpc.trainee_deleted_meanwhile"))
        if file == "deck":
            raise InvalidField(message("error.rpc.deck_of_cohort"), field="file")
        if file == "certificate":
            return certificate_html(self._to_export(found), trainee_id)
        by_trainee = with_partners(found.by_trainee)
        _require_some(bool(by_trainee[trainee_id]))
        own = [one for one in found.sessions if one.trainee_id == trainee_id]
        conduct = conduct_of(found.course, own, found.cohort.closed)
        figures = trainee_figures(found.course, by_trainee[trainee_id], by_trainee, conduct)
        return (
            report.trainee_html(found.course, figures) if file == "html" else report.trainee_json(found.course, figures)
        )

    def _to_export(self, found: CohortRecord) -> CohortResults:
        finished = [
            Finished(one.trainee_id, one.sitting, one.started_ms, one.finished_ms)
            for one in found.sessions
            if one.finished_ms is not None
        ]
        key, by_trainee = signing_key(self._resources.folder), with_partners(found.by_trainee)
        return CohortResults(
            found.course, found.cohort.display_name, by_trainee, finished, key, self._resources.now_ms()
        )


def _require_some(there: bool) -> None:
    if not there:
        raise NothingToReport(message("error.rpc.no_trial_answered_yet"))
