"""Writes an identification report as one HTML file."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fr_core.scoring.intervals import Rate, rate
from fr_evaluation.hardest import HARDEST, Error, hardest
from fr_evaluation.html import document, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.identification import words
from fr_evaluation.identification.figures import IdentificationFigures, IdentificationReport
from fr_evaluation.identification.searches import Search
from fr_evaluation.plots import COLOURS, label, new_figure
from fr_evaluation.report import NOTICE
from fr_evaluation.words import conditions
from fr_locales.messages import Message, message

CAPTIONS = {
    "cmc": message("evaluation.caption.cmc"),
    "det": message("evaluation.caption.identification_det"),
    "sizes": message("evaluation.caption.sizes"),
}
# Of the targets: the one that is drawn against the size of the gallery.
DRAWN = 1e-2
# Width and style of the two lines of a picture: where they lie upon each other, both are seen.
LINES = ((3.0, "-"), (1.5, "--"))


def figures(report: IdentificationReport) -> dict[str, Figure]:
    """The pictures by the names of their files, in the order to show them."""
    found = report.figures
    if not found.sizes:
        return {}
    drawn = {"cmc": cmc_figure(found), "det": det_figure(found)}
    if len(found.sizes) > 1:
        drawn["sizes"] = sizes_figure(found)
    return drawn


def cmc_figure(found: IdentificationFigures) -> Figure:
    """The cumulative match characteristic of the smallest and of the largest gallery."""
    figure, axes = new_figure(message("evaluation.label.candidates"), message("evaluation.label.among_them"))
    shown = found.sizes if len(found.sizes) == 1 else (found.sizes[0], found.sizes[-1])
    for number, size in enumerate(shown):
        gallery = message("evaluation.label.gallery", size=size.gallery_size)
        _with_intervals(axes, range(1, len(size.cmc) + 1), size.cmc, gallery, number)
    ranks = len(shown[-1].cmc)
    apart = 1 if ranks < 10 else 5
    axes.set_xticks(sorted({1, *range(apart, ranks + 1, apart)}))
    axes.legend(frameon=False, loc="lower right")
    axes.grid(alpha=0.3)
    return figure


def det_figure(found: IdentificationFigures) -> Figure:
    """FNIR against FPIR, and where the pack's threshold lies.

    The axes are logarithmic, and linear where no threshold errs in both ways.
    """
    figure, axes = new_figure(message("evaluation.label.fpir"), message("evaluation.label.fnir"))
    if found.det is not None:
        both = (found.det.fpir > 0) & (found.det.fnir > 0)
        seen = both if both.any() else np.ones_like(both)
        axes.plot(found.det.fpir[seen], found.det.fnir[seen], color=COLOURS[0], linewidth=1.5)
        axes.set_xscale("log" if both.any() else "linear")
        axes.set_yscale("log" if both.any() else "linear")
    default = found.sizes[0].default
    if default.fpir.count and default.fnir.count:
        said = label(message("evaluation.label.default", threshold=default.threshold))
        axes.plot(default.fpir.value, default.fnir.value, "o", color=COLOURS[1], label=said)
        axes.legend(frameon=False, loc="best")
    axes.grid(alpha=0.3)
    return figure


def sizes_figure(found: IdentificationFigures) -> Figure:
    """FNIR at `DRAWN`, and misses at rank 1, against the size of the gallery."""
    figure, axes = new_figure(message("evaluation.label.people"), message("evaluation.label.missed"))
    at_fpir = {
        size.gallery_size: row.point.fnir
        for size in found.sizes
        for row in size.at_fpir
        if row.target == DRAWN and row.point is not None
    }
    firsts = {size.gallery_size: size.cmc[0] for size in found.sizes}
    not_first = {size: rate(first.total - first.count, first.total) for size, first in firsts.items()}
    if at_fpir:
        said = message("evaluation.label.false_alarm", searches=round(1 / DRAWN))
        _with_intervals(axes, list(at_fpir), list(at_fpir.values()), said, 0)
    _with_intervals(axes, list(not_first), list(not_first.values()), message("evaluation.label.not_first"), 1)
    axes.set_xscale("log")
    axes.set_xticks(list(firsts), [f"{size:,}" for size in firsts])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="lower right")
    axes.grid(alpha=0.3)
    return figure


def _with_intervals(axes: Axes, xs: Sequence[int], rates: Sequence[Rate], said: Message, number: int) -> None:
    """Rates as line `number` of a picture, from 0, over their Wilson intervals as a band."""
    name, colour, (width, style) = label(said), COLOURS[number], LINES[number]
    low, high = [one.interval.low for one in rates], [one.interval.high for one in rates]
    axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
    values = [one.value for one in rates]
    axes.plot(
        xs, values, color=colour, linewidth=width, linestyle=style, marker="o", markersize=4, label=name, clip_on=False
    )


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
    """Return how far it is off in similarity, and what went wrong; None where it came out right, or was not done."""
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
