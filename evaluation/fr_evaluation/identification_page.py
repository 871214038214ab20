"""An identification report as one HTML file."""

from __future__ import annotations

from fr_evaluation import identification_words, words
from fr_evaluation.html import document, pictures, table
from fr_evaluation.identification_plots import CAPTIONS, figures
from fr_evaluation.report import NOTICE, IdentificationReport


def page(report: IdentificationReport) -> str:
    """The whole file."""
    return document(
        f"Identification: {report.dataset.manifest.title}",
        NOTICE,
        identification_words.summary(report),
        {
            "Galleries and thresholds": table(identification_words.HEADER, identification_words.rows(report)),
            "Curves": pictures(figures(report), CAPTIONS),
            "How it was measured": table(("", ""), words.conditions(report)),
        },
    )
