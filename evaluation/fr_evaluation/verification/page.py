"""Writes a verification report as one HTML file."""

from __future__ import annotations

import numpy as np

from fr_evaluation.hardest import HARDEST, Error, hardest
from fr_evaluation.html import document, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.report import NOTICE
from fr_evaluation.verification import words
from fr_evaluation.verification.plots import CAPTIONS, figures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import conditions, threshold_text
from fr_locales.messages import Message, message


def page(report: VerificationReport, thumbnails: bool | None = None) -> str:
    """The whole file; `thumbnails`: whether the hardest pairs are shown, None = as the manifest of the set says."""
    header = (message("evaluation.hardest.pair"), message("evaluation.hardest.label"))
    return document(
        message("evaluation.verification.title", title=report.dataset.manifest.title),
        NOTICE,
        words.summary(report),
        {
            **{section.heading: in_html(section) for section in words.sections(report)},
            message("evaluation.heading.curves"): pictures(figures(report), CAPTIONS),
            message("evaluation.hardest.pairs"): hardest(report, _worst(report), _about(report), header, thumbnails),
            message("evaluation.heading.conditions"): table(("", ""), conditions(report)),
        },
    )


def _worst(report: VerificationReport) -> list[Error]:
    """The pairs furthest on the wrong side of the pack's threshold, the worst first."""
    compared = report.compared
    same, different = message("evaluation.hardest.same"), message("evaluation.hardest.different")
    excess = compared.similarities - report.settings.threshold
    wrong = np.flatnonzero((excess >= 0) != compared.mated)
    places = wrong[np.argsort(-np.abs(excess[wrong]), kind="stable")][:HARDEST].tolist()
    return [
        Error(pair.a, pair.b, same if pair.mated else different, float(compared.similarities[place]))
        for place, pair in ((place, compared.pairs[place]) for place in places)
    ]


def _about(report: VerificationReport) -> Message:
    """Say how many pairs are on the wrong side, and how to read their list."""
    default = report.figures.default
    threshold = threshold_text(report.settings.threshold)
    if default is None:
        return message("evaluation.hardest.pairs_undefined", threshold=threshold)
    accepted = message("evaluation.hardest.accepted", count=default.fmr.count)
    missed = message("evaluation.hardest.missed", count=default.fnmr.count)
    return message(
        "evaluation.hardest.about_pairs", threshold=threshold, accepted=accepted, missed=missed, most=HARDEST
    )
