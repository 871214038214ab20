"""A verification report as one HTML file."""

from __future__ import annotations

from fr_datasets.values import VerificationPair
from fr_evaluation.html import document, paragraph, pictures, table
from fr_evaluation.report import NOTICE
from fr_evaluation.verification import words
from fr_evaluation.verification.plots import figures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import conditions

# Errors that are listed one by one.
HARDEST = 20

CAPTIONS = {
    "histogram": "Similarities of pairs of one person and of different people.",
    "det": "Both error rates at every threshold, on normal deviates; further down and left is better.",
    "roc": "Pairs of one person that are accepted, at each false match rate.",
}


def page(report: VerificationReport) -> str:
    """The whole file."""
    return document(
        f"Verification: {report.dataset.manifest.title}",
        NOTICE,
        words.summary(report),
        {
            "Figures": table(words.HEADER, words.rows(report)),
            "Thresholds by false match rate": table(words.THRESHOLD_HEADER, words.threshold_rows(report)),
            "Curves": pictures(figures(report), CAPTIONS),
            "The hardest pairs": paragraph(_about_errors(report))
            + table(("pair", "label", "similarity"), _hardest(report)),
            "How it was measured": table(("", ""), conditions(report)),
        },
    )


def _hardest(report: VerificationReport) -> list[tuple[str, str, str]]:
    """The pairs furthest on the wrong side of the pack's threshold, the worst first."""
    threshold, compared = report.settings.threshold, report.compared
    wrong = [
        (abs(similarity - threshold), pair, similarity)
        for pair, similarity in zip(compared.pairs, compared.similarities.tolist(), strict=True)
        if (similarity >= threshold) != pair.mated
    ]
    wrong.sort(key=lambda one: one[0], reverse=True)
    return [
        (_names(pair, report), "same person" if pair.mated else "different people", f"{similarity:.3f}")
        for _, pair, similarity in wrong[:HARDEST]
    ]


def _about_errors(report: VerificationReport) -> str:
    default = report.figures.default
    threshold = f"{report.settings.threshold:.3f}"
    if default is None:
        return f"Pairs on the wrong side of the pack's threshold, {threshold}."
    return (
        f"At the pack's threshold, {threshold}, {default.fmr.count:,} pairs of different people are accepted and "
        f"{default.fnmr.count:,} of one person are missed. The furthest off come first, {HARDEST} at most. Labels of "
        "data sets are wrong at times: look at a pair before you blame the model."
    )


def _names(pair: VerificationPair, report: VerificationReport) -> str:
    return " and ".join(photo.relative_to(report.dataset.root).as_posix() for photo in (pair.a, pair.b))
