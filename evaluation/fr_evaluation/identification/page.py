"""An identification report as one HTML file."""

from __future__ import annotations

from fr_evaluation.hardest import HARDEST, Error, hardest
from fr_evaluation.html import document, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.identification import words
from fr_evaluation.identification.plots import CAPTIONS, figures
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.identification.searches import Search
from fr_evaluation.report import NOTICE
from fr_evaluation.words import conditions


def page(report: IdentificationReport, thumbnails: bool | None = None) -> str:
    """The whole file.

    Args:
        report: to tell.
        thumbnails: whether the photos of the hardest searches are shown; None = as the manifest of the set says.
    """
    header = ("searched for, and the other photo", "what went wrong")
    return document(
        f"Identification: {report.dataset.manifest.title}",
        NOTICE,
        words.summary(report),
        {
            **{section.heading: in_html(section) for section in words.sections(report)},
            "Curves": pictures(figures(report), CAPTIONS),
            "The hardest searches": hardest(report, _worst(report), _about(report), header, thumbnails),
            "How it was measured": table(("", ""), conditions(report)),
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
        return one.other - threshold, Error(one.photo, one.nearest, "not enrolled: a false alarm", one.other)
    if one.rank is None or one.similarity is None or (one.rank == 1 and one.similarity >= threshold):
        return None
    what = f"enrolled: {'below the threshold' if one.similarity < threshold else 'not the first'}, rank {one.rank:,}"
    needed = threshold if one.other is None else max(threshold, one.other)
    return needed - one.similarity, Error(one.photo, one.mate, what, one.similarity)


def _about(report: IdentificationReport) -> str:
    threshold = report.settings.threshold
    wrong = [one for one in report.searches.made if _wrong(one, threshold) is not None]
    missed = sum(one.mate is not None for one in wrong)
    return (
        f"At the pack's threshold, {threshold:.3f}, and in the gallery of real people, {missed:,} searches for "
        f"enrolled people have the right one below it or not first, beside those that could not be done, and "
        f"{len(wrong) - missed:,} for people who are not enrolled raise a false alarm. The other photo is the one that "
        f"the right person, or for a false alarm the nearest, was enrolled with. The furthest off come first, "
        f"{HARDEST} at most. Labels of data sets are wrong at times: look at the photos before you blame the model."
    )
