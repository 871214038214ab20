"""An identification report in plain words and in rows, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from fr_core.scoring.support import ENOUGH_ERRORS
from fr_evaluation.identification.figures import RANK, FpirRow, SizeFigures
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.identification.strangers import Likeness
from fr_evaluation.words import (
    RULE_OF_30,
    Section,
    Table,
    by_people_text,
    counted_text,
    few_errors_text,
    section,
    support_text,
    sure_text,
    threshold_text,
)

HIT_HEADER = ("gallery", "mate first", f"mate among {RANK}")
THRESHOLD_HEADER = ("FPIR asked for", "threshold", "FPIR observed", "FNIR: missed", "support")


def summary(report: IdentificationReport) -> str:
    """Summarise the findings in a paragraph for the person who sets a threshold."""
    searches, figures = report.searches, report.figures
    if not figures.sizes:
        return " ".join(figures.undefined.values())
    smallest, largest = figures.sizes[0], figures.sizes[-1]
    mated, nonmated = searches.mated[0], searches.nonmated[0]
    others = len(nonmated.top_similarities) + nonmated.failures
    part = f", a part of the data set ({report.dataset.part})," if report.dataset.part else ""
    sentences = [
        f"{searches.people:,} people of {report.dataset.manifest.title}{part} were enrolled with a photo each.",
        f"{mated.total:,} further photos of them were searched for, and {others:,} photos of people who were not "
        "enrolled.",
        f"The right person was the first candidate in {smallest.cmc[0].value:.2%} of the searches "
        f"({smallest.cmc[0].interval.low:.2%} to {smallest.cmc[0].interval.high:.2%}).",
    ]
    for row in smallest.at_fpir:
        if row.point is not None:
            missed = row.point.fnir
            by_people = None if row.by_people is None else row.by_people.fnir
            sentences.append(
                f"With the threshold {threshold_text(row.point.threshold)}, at most one in "
                f"{round(1 / row.target):,} of these searches for somebody who is not enrolled raised a false alarm"
                f"{few_errors_text(row.point.fpir)}, and {missed.value:.2%} of those for enrolled people missed them "
                f"({missed.interval.low:.2%} to {missed.interval.high:.2%}"
                f"{'' if by_people is None else f'; by people {by_people.low:.2%} to {by_people.high:.2%}'})."
            )
    if largest is not smallest:
        sentences.append(
            f"With drawn strangers up to a gallery of {largest.gallery_size:,}, the right person was first in "
            f"{largest.cmc[0].value:.2%}. {_about_strangers(searches.likeness)}"
        )
    too_small = [size for size in report.settings.gallery_sizes if size <= searches.people]
    if too_small:
        left_out = ", ".join(f"{size:,}" for size in too_small)
        sentences.append(f"There is no gallery of {left_out}: {searches.people:,} real people are enrolled already.")
    missing = mated.failures + nonmated.failures
    if missing:
        sentences.append(f"{missing:,} searches could not be done; those for enrolled people count as misses.")
    return " ".join(sentences)


def _about_strangers(likeness: Sequence[Likeness]) -> str:
    """Say what drawn strangers show, and what they do not."""
    told = "Strangers are drawn like the people of this set, by mean and covariance of their templates"
    shown = [one for one in likeness if one.drawn > 0 and one.count >= ENOUGH_ERRORS]
    if shown:
        rarest = shown[-1]
        told += (
            f"; the threshold that one in {round(1 / rarest.real):,} comparisons of real people reaches is reached by "
            f"one in {round(1 / rarest.drawn):,} with them"
        )
    harder = bool(shown) and shown[-1].drawn < shown[-1].real
    return f"{told}. " + (
        "A real gallery of that size is most likely harder, by look-alikes and wrong labels."
        if harder
        else "How much harder a real gallery of that size is, these searches do not tell."
    )


def sections(report: IdentificationReport) -> tuple[Section, ...]:
    """Everything but the summary."""
    sizes = report.figures.sizes
    hits = [
        (
            f"{size.gallery_size:,}",
            sure_text(size.cmc[0]) + by_people_text(size.first_by_people),
            sure_text(size.cmc[-1]),
        )
        for size in sizes
    ]
    thresholds = [
        Table(
            THRESHOLD_HEADER,
            [*map(_threshold_row, size.at_fpir), _default_row(size)],
            _title(size, report.searches.people),
        )
        for size in sizes
    ]
    return (
        section("How often the right person is found", "", Table(HIT_HEADER, hits)),
        section("Thresholds by false positive identification rate", RULE_OF_30, *thresholds),
    )


def _title(size: SizeFigures, people: int) -> str:
    strangers = size.gallery_size - people
    return f"Gallery of {people:,} people" + (f" and {strangers:,} drawn strangers" if strangers else "")


def _default_row(size: SizeFigures) -> tuple[str, ...]:
    fpir, fnir = size.default.fpir, size.default.fnir
    threshold = threshold_text(size.default.threshold, 4)
    return "the pack's", threshold, counted_text(fpir), sure_text(fnir), support_text(fpir)


def _threshold_row(row: FpirRow) -> tuple[str, ...]:
    asked = f"{row.target:g}"
    if row.point is None:
        return asked, "", "", "", row.note
    fpir, fnir = row.point.fpir, row.point.fnir
    observed, missed = counted_text(fpir), sure_text(fnir)
    if row.by_people is not None:
        observed += by_people_text(row.by_people.fpir)
        missed += by_people_text(row.by_people.fnir)
    return asked, threshold_text(row.point.threshold, 4), observed, missed, support_text(fpir)
