"""Evaluation on the server, for the asynchronous client."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from fr_api.v1 import evaluation_pb2, evaluation_pb2_grpc
from fr_client import unpack
from fr_client.aio.calls import AsyncCalls, AsyncPart
from fr_client.requests import OnProgress
from fr_client.unpack import FileOfReport
from fr_client.words import REPORT_FILES, ReportFile, value_of


class AsyncEvaluation(AsyncPart):
    """Measures the model on the server, and reads the reports: a part of `AsyncClient`."""

    def __init__(self, calls: AsyncCalls) -> None:
        super().__init__(calls)
        self._evaluation = evaluation_pb2_grpc.EvaluationServiceStub(calls.unary)
        self._evaluation_streams = evaluation_pb2_grpc.EvaluationServiceStub(calls.streams)

    async def datasets(self) -> Sequence[evaluation_pb2.Dataset]:
        """Return the data sets for measurements, and which of them the server has."""
        return (await self._calls.call(self._evaluation.ListDatasets, evaluation_pb2.ListDatasetsRequest())).datasets

    async def run_verification(
        self, dataset: str, *, seed: int | None = None, on_progress: OnProgress | None = None
    ) -> evaluation_pb2.ReportSummary:
        """Compare the pairs of a data set on the server; return the findings and the id of the report.

        It may take minutes or hours: `timeout_s` does not end it. If the wait ends early (Ctrl-C, a cancelled task),
        the server stops and leaves no report.

        Args:
            dataset: its name, as `datasets` has it.
            seed: of the draws behind the intervals by people; None for the server's.
            on_progress: called with the number of photos done and of all photos.
        """
        request = evaluation_pb2.RunVerificationRequest(dataset=dataset, seed=seed)
        return await self._measured(lambda: self._evaluation_streams.RunVerification(request), on_progress)

    async def run_identification(
        self,
        dataset: str,
        *,
        seed: int | None = None,
        gallery_sizes: Sequence[int] = (),
        on_progress: OnProgress | None = None,
    ) -> evaluation_pb2.ReportSummary:
        """Enrol half of a data set's people, search for all others, and return the findings; changes no gallery.

        `seed` decides who is enrolled, and the strangers that fill up galleries of `gallery_sizes`; the rest is as of
        `run_verification`.
        """
        request = evaluation_pb2.RunIdentificationRequest(dataset=dataset, seed=seed, gallery_sizes=gallery_sizes)
        return await self._measured(lambda: self._evaluation_streams.RunIdentification(request), on_progress)

    def reports(self, *, page_size: int | None = None) -> AsyncIterator[evaluation_pb2.ReportSummary]:
        """Yield every report that the server keeps, the newest first, page by page; None for its size of a page."""
        request = evaluation_pb2.ListReportsRequest(page_size=page_size)
        return self._calls.pages(self._evaluation.ListReports, request, "reports")

    async def report(self, report_id: str, file: ReportFile = "json") -> FileOfReport:
        """Read a file of a report; raises `FrApiError` (UNKNOWN_REPORT) if there is none.

        "json" has every figure, "html" is a page for people; a verification has the "scores" of its pairs and a
        "calibration" for `set_calibration` too.
        """
        async with aclosing(self.report_parts(report_id, file)) as parts:
            return unpack.whole_file([part async for part in parts])

    def report_parts(
        self, report_id: str, file: ReportFile = "json"
    ) -> AsyncGenerator[evaluation_pb2.GetReportResponse]:
        """Yield what the report is, then the file piece by piece; arguments and errors are those of `report`."""
        request = evaluation_pb2.GetReportRequest(report_id=report_id, file=value_of("file", file, REPORT_FILES))
        return self._calls.answers(lambda: self._evaluation_streams.GetReport(request), self._calls.timeout_s)

    async def delete_report(self, report_id: str) -> None:
        """Delete a report with all its files; raises `FrApiError` (UNKNOWN_REPORT) if there is none."""
        await self._calls.call(self._evaluation.DeleteReport, evaluation_pb2.DeleteReportRequest(report_id=report_id))

    async def _measured(self, start: Callable[[], Any], on_progress: OnProgress | None) -> evaluation_pb2.ReportSummary:
        def tell(now: evaluation_pb2.EvaluationProgress) -> None:
            if on_progress is not None:
                on_progress(now.photos, now.total)

        report: evaluation_pb2.ReportSummary = await self._calls.awaited(start, "report", tell, "the evaluation")
        return report
