"""Writes a verification report as one HTML file."""

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fr_core.scoring.det import DetCurve
from fr_core.scoring.intervals import wilson_interval
from fr_evaluation.hardest import HARDEST, Error, hardest
from fr_evaluation.html import document, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.plots import COLOURS, label, new_figure
from fr_evaluation.report import NOTICE
from fr_evaluation.verification import words
from fr_evaluation.verification.compare import F64
from fr_evaluation.verification.quality import QualityFigures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.words import lists_everybody
from fr_evaluation.words import conditions, threshold_text
from fr_locales.messages import Message, message

CAPTIONS = {
    "histogram": message("evaluation.caption.histogram"),
    "det": message("evaluation.caption.det"),
    "roc": message("evaluation.caption.roc"),
    "quality": message("evaluation.caption.quality"),
}
FMR, FNMR = message("evaluation.label.fmr"), message("evaluation.label.fnmr")
MATED, NONMATED = COLOURS
TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5)
POINTS = 600


def figures(report: VerificationReport) -> dict[str, Figure]:
    """The pictures by the names of their files, in the order to show them."""
    found = {"histogram": histogram(report)}
    by_people = (label(message("evaluation.label.by_people", people=report.figures.people)), report.figures.det_across)
    by_list = (label(message("evaluation.label.by_list")), report.figures.det)
    drawn = (by_people,) if lists_everybody(report.figures) else (by_list, by_people)
    curves = {name: curve.thinned(POINTS) for name, curve in drawn if curve is not None}
    if curves:
        found |= {"det": det_figure(curves), "roc": roc_figure(curves)}
    if report.quality is not None:
        found["quality"] = discard_figure(report.quality)
    return found


def histogram(report: VerificationReport) -> Figure:
    """Return how similar mated and non-mated pairs are, each as a share of its own."""
    figure, axes = new_figure(message("evaluation.hardest.similarity"), message("evaluation.label.share"))
    compared = report.compared
    edges = np.linspace(*_range(compared.similarities), 61).tolist()
    for name, values, colour in (
        (message("evaluation.hardest.same"), compared.mated_similarities, MATED),
        (message("evaluation.hardest.different"), compared.nonmated_similarities, NONMATED),
    ):
        if len(values):
            weights = np.full(len(values), 1 / len(values))
            said = f"{label(name)} ({len(values):,})"
            axes.hist(values, edges, weights=weights, color=colour, alpha=0.6, label=said)
    said = label(message("evaluation.at.default"))
    axes.axvline(report.settings.threshold, color="black", linestyle="--", linewidth=1, label=said)
    axes.legend(frameon=False, loc="best")
    return figure


def det_figure(curves: Mapping[str, DetCurve]) -> Figure:
    """FNMR against FMR on normal deviates, each curve with the 95 % band of its FNMR."""
    figure, axes = new_figure(FMR, FNMR)
    lowest = min(0.5 / curve.n_nonmated for curve in curves.values()), min(0.5 / c.n_mated for c in curves.values())
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        fmr, fnmr = _deviates(curve.fmr, curve.n_nonmated), _deviates(curve.fnmr, curve.n_mated)
        low, high = (_deviates(end, curve.n_mated) for end in _band(curve.fnmr, curve.n_mated))
        axes.fill_between(fmr, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(fmr, fnmr, color=colour, linewidth=1.5, label=name)
    for axis, limit, least in ((axes.xaxis, axes.set_xlim, lowest[0]), (axes.yaxis, axes.set_ylim, lowest[1])):
        shown = [tick for tick in TICKS if tick >= least]
        axis.set_ticks([NormalDist().inv_cdf(tick) for tick in shown], [f"{tick:g}" for tick in shown])
        limit(NormalDist().inv_cdf(least) - 0.1, NormalDist().inv_cdf(TICKS[-1]))
    axes.legend(frameon=False, loc="best")
    axes.grid(alpha=0.3)
    return figure


def roc_figure(curves: Mapping[str, DetCurve]) -> Figure:
    """The share of mated pairs that are accepted against FMR on a logarithmic axis, each curve with its 95 % band."""
    figure, axes = new_figure(FMR, message("evaluation.label.accepted"))
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        seen = curve.fmr > 0
        low, high = _band(1 - curve.fnmr[seen], curve.n_mated)
        axes.fill_between(curve.fmr[seen], low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(curve.fmr[seen], 1 - curve.fnmr[seen], color=colour, linewidth=1.5, label=name)
    axes.set_xscale("log")
    axes.legend(frameon=False, loc="lower right")
    axes.grid(alpha=0.3)
    return figure


def discard_figure(quality: QualityFigures) -> Figure:
    """The misses that are left as the pairs of lowest quality are discarded, with the 95 % band, and the ideal."""
    figure, axes = new_figure(message("evaluation.label.discarded"), FNMR)
    shares, by_quality = [point.share for point in quality.discard], label(message("evaluation.label.by_quality"))
    rates = [point.fnmr for point in quality.discard]
    low, high = [rate.interval.low for rate in rates], [rate.interval.high for rate in rates]
    axes.fill_between(shares, low, high, color=MATED, alpha=0.2, linewidth=0)
    axes.plot(shares, [rate.value for rate in rates], color=MATED, marker="o", markersize=3, label=by_quality)
    ideal, only_misses = [point.ideal for point in quality.discard], label(message("evaluation.label.only_misses"))
    axes.plot(shares, ideal, color="black", linestyle="--", linewidth=1, label=only_misses)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    axes.grid(alpha=0.3)
    return figure


def _range(similarities: F64) -> tuple[float, float]:
    if not len(similarities):
        return -1.0, 1.0
    return float(similarities.min()) - 0.01, float(similarities.max()) + 0.01


def _band(rates: F64, trials: int) -> tuple[F64, F64]:
    intervals = [wilson_interval(round(rate * trials), trials) for rate in rates.tolist()]
    return np.array([one.low for one in intervals]), np.array([one.high for one in intervals])


def _deviates(rates: F64, trials: int) -> F64:
    """Normal deviates of rates, kept half a trial away from 0 and 1."""
    half = 0.5 / trials
    return np.array([NormalDist().inv_cdf(rate) for rate in np.clip(rates, half, 1 - half).tolist()])


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
