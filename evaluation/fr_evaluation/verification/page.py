"""A verification report as one HTML file."""

from __future__ import annotations

import numpy as np

from fr_evaluation.hardest import HARDEST, Error, hardest
from fr_evaluation.html import document, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.report import NOTICE
from fr_evaluation.verification import words
from fr_evaluation.verification.plots import figures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import conditions, counted, threshold_text

CAPTIONS = {
    "histogram": "Similarities of pairs of one person and of different people.",
    "det": "Both error rates at every threshold, on normal deviates; further down and left is better.",
    "roc": "Pairs of one person that are accepted, at each false match rate.",
    "quality": "Pairs of one person that are missed at the pack's threshold, as the worst photos are discarded.",
}


def page(report: VerificationReport, thumbnails: bool | None = None) -> str:
    """The whole file.

    Args:
        report: to tell.
        thumbnails: whether the photos of the hardest pairs are shown; None = as the manifest of the set says.
    """
    return document(
        f"Verification: {report.dataset.manifest.title}",
        NOTICE,
        words.summary(report),
        {
            **{section.heading: in_html(section) for section in words.sections(report)},
            "Curves": pictures(figures(report), CAPTIONS),
            "The hardest pairs": hardest(report, _worst(report), _about(report), ("pair", "label"), thumbnails),
            "How it was measured": table(("", ""), conditions(report)),
        },
    )


def _worst(report: VerificationReport) -> list[Error]:
    """The pairs furthest on the wrong side of the pack's threshold, the worst first."""
    compared = report.compared
    excess = compared.similarities - report.settings.threshold
    wrong = np.flatnonzero((excess >= 0) != compared.mated)
    worst = wrong[np.argsort(-np.abs(excess[wrong]), kind="stable")][:HARDEST].tolist()
    return [
        Error(pair.a, pair.b, "same person" if pair.mated else "different people", float(compared.similarities[place]))
        for place, pair in ((place, compared.pairs[place]) for place in worst)
    ]


def _about(report: VerificationReport) -> str:
    default = report.figures.default
    threshold = threshold_text(report.settings.threshold)
    if default is None:
        return f"Pairs on the wrong side of the pack's threshold, {threshold}."
    return (
        f"At the pack's threshold, {threshold}, {counted(default.fmr.count, 'pair')} of different people "
        f"{'is' if default.fmr.count == 1 else 'are'} accepted and {default.fnmr.count:,} of one person "
        f"{'is' if default.fnmr.count == 1 else 'are'} missed. The furthest off come first, {HARDEST} at most. Labels "
        "of data sets are wrong at times: look at a pair before you blame the model."
    )
