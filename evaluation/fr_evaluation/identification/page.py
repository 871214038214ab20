"""An identification report as one HTML file."""

from __future__ import annotations

from fr_evaluation.html import document, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.identification import words
from fr_evaluation.identification.plots import CAPTIONS, figures
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.report import NOTICE
from fr_evaluation.words import conditions


def page(report: IdentificationReport) -> str:
    """The whole file."""
    return document(
        f"Identification: {report.dataset.manifest.title}",
        NOTICE,
        words.summary(report),
        {
            **{section.heading: in_html(section) for section in words.sections(report)},
            "Curves": pictures(figures(report), CAPTIONS),
            "How it was measured": table(("", ""), conditions(report)),
        },
    )
