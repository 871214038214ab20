"""Selects the files of a report that are stored."""

from fr_core.types import ModelId
from fr_evaluation.files import AnyReport, data_files
from fr_evaluation.identification import words as identification_words
from fr_evaluation.stored import Summary
from fr_evaluation.verification import words as verification_words
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import in_words


def summary_of(report: AnyReport, model: ModelId) -> Summary:
    """Return what a report of a model is, for a list of them."""
    if isinstance(report, VerificationReport):
        kind, words = "verification", in_words(verification_words.summary(report))
    else:
        kind, words = "identification", in_words(identification_words.summary(report))
    return Summary(kind, report.dataset.manifest.name, model, report.measured_at, report.settings.version, words)


def files_of(report: AnyReport) -> dict[str, bytes]:
    """Its files, as bytes by name; without the page, which holds the pictures, where matplotlib is not installed."""
    files = data_files(report)
    try:
        from fr_evaluation.write import report_page
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return files
    return files | {"report.html": report_page(report)}
