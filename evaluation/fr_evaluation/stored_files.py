"""Selects the files of a report that are stored."""

from __future__ import annotations

from fr_core.types import ModelId
from fr_evaluation.files import data_files
from fr_evaluation.identification import words as identification_words
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.report import Report
from fr_evaluation.stored import Summary
from fr_evaluation.verification import words as verification_words
from fr_evaluation.verification.report import VerificationReport


def summary_of(report: Report, model: ModelId) -> Summary:
    """Return what a report of a model is, for a list of them."""
    match report:
        case VerificationReport():
            kind, words = "verification", verification_words.summary(report)
        case IdentificationReport():
            kind, words = "identification", identification_words.summary(report)
        case _:
            raise TypeError(f"A {type(report).__name__} cannot be kept.")
    return Summary(kind, report.dataset.manifest.name, model, report.measured_at, report.settings.version, words)


def files_of(report: Report) -> dict[str, bytes]:
    """Its files, as bytes by name; without the page, which holds the pictures, where matplotlib is not installed."""
    files = data_files(report)
    try:
        from fr_evaluation.write import report_page
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return files
    return files | {"report.html": report_page(report)}
