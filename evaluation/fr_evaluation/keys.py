"""The JSON of any report."""

from __future__ import annotations

from typing import Any

from fr_evaluation.identification import as_json as identification_json
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.report import Report
from fr_evaluation.verification import as_json as verification_json
from fr_evaluation.verification.report import VerificationReport


def report_keys(report: Report) -> dict[str, Any]:
    """The report as one document."""
    match report:
        case VerificationReport():
            return verification_json.report_keys(report)
        case IdentificationReport():
            return identification_json.report_keys(report)
        case _:
            raise TypeError(f"There is no JSON of a {type(report).__name__}.")
