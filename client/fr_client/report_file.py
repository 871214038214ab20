"""A file of a report, from the messages that bring it: shared by both clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fr_api.v1 import evaluation_pb2


@dataclass(frozen=True, slots=True)
class FileOfReport:
    """A file of a report.

    Attributes:
        report: what the report is, and which files it has.
        content: of the file, UTF-8.
    """

    report: evaluation_pb2.ReportSummary
    content: bytes


def whole_file(parts: Iterable[evaluation_pb2.GetReportResponse]) -> FileOfReport:
    """Return the file from all messages of the answer."""
    report, content = evaluation_pb2.ReportSummary(), bytearray()
    for part in parts:
        if part.WhichOneof("part") == "report":
            report = part.report
        content += part.content
    return FileOfReport(report, bytes(content))
