"""The JSON of any report."""

from __future__ import annotations

from typing import Any

from fr_evaluation import identification_json, report_json
from fr_evaluation.report import IdentificationReport, Report, VerificationReport


def report_keys(report: Report) -> dict[str, Any]:
    """The report as one document."""
    match report:
        case VerificationReport():
            return report_json.report_keys(report)
        case IdentificationReport():
            return identification_json.report_keys(report)
        case _:
            raise TypeError(f"There is no JSON of a {type(report).__name__}.")
