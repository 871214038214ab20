"""A verification report as one HTML file."""

from __future__ import annotations

import numpy as np

from fr_datasets.values import VerificationPair
from fr_evaluation.html import Html, document, image, paragraph, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.report import NOTICE
from fr_evaluation.thumbnails import thumbnail
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
            "The hardest pairs": _hardest(report, thumbnails),
            "How it was measured": table(("", ""), conditions(report)),
        },
    )


def _hardest(report: VerificationReport, thumbnails: bool | None) -> str:
    """The pairs furthest on the wrong side of the pack's threshold, the worst first."""
    shown = report.dataset.manifest.shows_photos if thumbnails is None else thumbnails
    compared = report.compared
    excess = compared.similarities - report.settings.threshold
    wrong = np.flatnonzero((excess >= 0) != compared.mated)
    worst = wrong[np.argsort(-np.abs(excess[wrong]), kind="stable")][:HARDEST].tolist()
    pairs = [compared.pairs[place] for place in worst]
    photos = [_photos(pair, report) if shown else Html() for pair in pairs]
    rows = [
        (
            picture,
            _names(pair, report),
            "same person" if pair.mated else "different people",
            f"{compared.similarities[place]:.3f}",
        )
        for place, pair, picture in zip(worst, pairs, photos, strict=True)
    ]
    head = ("photos", "pair", "label", "similarity")
    first = 0 if any(photos) else 1
    return (
        paragraph(_about_errors(report))
        + (paragraph(_why_not_shown(thumbnails, shown)) if first and rows else "")
        + table(head[first:], [row[first:] for row in rows])
    )


def _photos(pair: VerificationPair, report: VerificationReport) -> Html:
    limits = report.settings.images
    both = ((thumbnail(pair.a, limits), "first photo"), (thumbnail(pair.b, limits), "second photo"))
    return Html("".join(image(uri, alt) for uri, alt in both if uri))


def _why_not_shown(thumbnails: bool | None, shown: bool) -> str:
    if shown:
        return "No photos are shown: those of these pairs are no files of their own, or are not there any more."
    if thumbnails is None:
        return (
            "No photos are shown, as the terms of this set do not say that a report may show them; --thumbnails puts "
            "them in for readers who may see the set."
        )
    return "No photos are shown, as was asked for."


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
