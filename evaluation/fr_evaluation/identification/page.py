"""Writes an identification report as one HTML file."""

from __future__ import annotations

from fr_evaluation.hardest import HARDEST, Error, hardest
from fr_evaluation.html import document, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.identification import words
from fr_evaluation.identification.figures import IdentificationReport
from fr_evaluation.identification.plots import CAPTIONS, figures
from fr_evaluation.identification.searches import Search
from fr_evaluation.report import NOTICE
from fr_evaluation.words import conditions
from fr_locales.messages import Message, message


def page(report: IdentificationReport, thumbnails: bool | None = None) -> str:
    """The whole file; `thumbnails`: whether the hardest searches are shown, None = as the manifest of the set says."""
    header = (message("evaluation.hardest.searched"), message("evaluation.hardest.wrong"))
    return document(
        message("evaluation.identification.title", title=report.dataset.manifest.title),
        NOTICE,
        words.summary(report),
        {
            **{section.heading: in_html(section) for section in words.sections(report)},
            message("evaluation.heading.curves"): pictures(figures(report), CAPTIONS),
            message("evaluation.hardest.searches"): hardest(report, _worst(report), _about(report), header, thumbnails),
            message("evaluation.heading.conditions"): table(("", ""), conditions(report)),
        },
    )


def _worst(report: IdentificationReport) -> list[Error]:
    """The searches furthest on the wrong side, the worst first."""
    threshold = report.settings.threshold
    wrong = [found for one in report.searches.made if (found := _wrong(one, threshold)) is not None]
    wrong.sort(key=lambda found: -found[0])
    return [error for _, error in wrong[:HARDEST]]


def _wrong(one: Search, threshold: float) -> tuple[float, Error] | None:
    """Return how far it is off in similarity, and what went wrong; None where it came out right, or could not be
    done.
    """
    if one.mate is None:
        if one.nearest is None or one.other is None or one.other < threshold:
            return None
        alarm = message("evaluation.hardest.false_alarm")
        return one.other - threshold, Error(one.photo, one.nearest, alarm, one.other)
    if one.rank is None or one.similarity is None or (one.rank == 1 and one.similarity >= threshold):
        return None
    if one.similarity < threshold:
        what = message("evaluation.hardest.below", rank=one.rank)
    else:
        what = message("evaluation.hardest.not_first", rank=one.rank)
    needed = threshold if one.other is None else max(threshold, one.other)
    return needed - one.similarity, Error(one.photo, one.mate, what, one.similarity)


def _about(report: IdentificationReport) -> Message:
    """Say how many searches are on the wrong side, and how to read their list."""
    threshold = report.settings.threshold
    wrong = [one for one in report.searches.made if _wrong(one, threshold) is not None]
    missed = sum(one.mate is not None for one in wrong)
    return message(
        "evaluation.hardest.about_searches",
        threshold=threshold,
        missed=missed,
        alarms=len(wrong) - missed,
        most=HARDEST,
    )
