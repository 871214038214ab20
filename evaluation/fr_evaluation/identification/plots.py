"""The pictures of an identification report."""

from __future__ import annotations

from matplotlib.figure import Figure

from fr_evaluation.identification.figures import IdentificationFigures
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.plots import COLOURS, new_figure

CAPTIONS = {
    "cmc": "How often the right person is among so many first candidates.",
    "det": "Misses against false alarms at every threshold, in the gallery of real people.",
    "sizes": "Misses at a fixed rate of false alarms as the gallery grows by drawn strangers.",
}
# Of the targets: the one that is drawn against the size of the gallery.
DRAWN = 1e-2


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
    figure, axes = new_figure("candidates looked at", "right person among them")
    shown = found.sizes if len(found.sizes) == 1 else (found.sizes[0], found.sizes[-1])
    for size, colour in zip(shown, COLOURS, strict=False):
        ranks = range(1, len(size.cmc) + 1)
        axes.fill_between(
            ranks,
            [rate.interval.low for rate in size.cmc],
            [rate.interval.high for rate in size.cmc],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
        label = f"gallery of {size.gallery_size:,}"
        axes.plot(ranks, [rate.value for rate in size.cmc], color=colour, marker=".", label=label)
    axes.legend(frameon=False, loc="lower right")
    axes.grid(alpha=0.3)
    return figure


def det_figure(found: IdentificationFigures) -> Figure:
    """FNIR against FPIR, the latter on a logarithmic axis."""
    figure, axes = new_figure("false positive identification rate", "false negative identification rate")
    if found.det is not None:
        seen = found.det.fpir > 0
        axes.plot(found.det.fpir[seen], found.det.fnir[seen], color=COLOURS[0], linewidth=1.5)
    axes.set_xscale("log")
    axes.grid(alpha=0.3)
    return figure


def sizes_figure(found: IdentificationFigures) -> Figure:
    """FNIR at `DRAWN`, and misses at rank 1, against the size of the gallery."""
    figure, axes = new_figure("people in the gallery", "mated searches missed")
    sizes = [size.gallery_size for size in found.sizes]
    at_fpir = [next(row.point for row in size.at_fpir if row.target == DRAWN) for size in found.sizes]
    by_threshold = [(size, point.fnir) for size, point in zip(sizes, at_fpir, strict=True) if point is not None]
    if by_threshold:
        axes.plot(
            [size for size, _ in by_threshold],
            [rate.value for _, rate in by_threshold],
            color=COLOURS[0],
            marker="o",
            label=f"at a false alarm in {round(1 / DRAWN)} searches",
        )
    axes.plot(
        sizes,
        [1 - size.cmc[0].value for size in found.sizes],
        color=COLOURS[1],
        marker="s",
        label="right person not first",
    )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return figure
