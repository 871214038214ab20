"""Writes the study as one HTML page with its pictures."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fr_evaluation.html import document, pictures
from fr_evaluation.html import words as in_html
from fr_evaluation.plots import COLOURS, new_figure
from fr_locales.messages import Message, message
from fr_training.report.cells import text
from fr_training.simulation.claims import MOST_OFF, THIRDS, Claim, Series, chances, series_of, thirds
from fr_training.simulation.report import NOTICE, sections, summary
from fr_training.simulation.saving import by_theta, curves
from fr_training.simulation.study import Study

_FIRST, _SECOND = COLOURS
_DRAWN = ("dprime", "criterion", "net", "theta_adaptive")

CAPTIONS = {
    **dict.fromkeys(_DRAWN, message("caption.recovered")),
    "precision": message("caption.precision"),
    "saving": message("caption.saving"),
    "holding": message("caption.holding"),
}


def page(study: Study, claims: Sequence[Claim]) -> str:
    """The whole file."""
    parts = {one.heading: in_html(one) for one in sections(study, claims)}
    parts[text(message("section.pictures"))] = pictures(
        figures(study), {name: text(caption) for name, caption in CAPTIONS.items()}
    )
    return document(text(message("simulation.title")), text(NOTICE), summary(study, claims), parts)


def figures(study: Study) -> dict[str, Figure]:
    """The pictures by name, in the order to show them."""
    recovered = {one.key: _recovered(one) for one in series_of(study) if one.key in _DRAWN}
    return recovered | {"precision": _precision(study), "saving": _saving(study), "holding": _holding(study)}


def _axes(x: Message, y: Message) -> tuple[Figure, Axes]:
    return new_figure(text(x), text(y))


def _recovered(series: Series) -> Figure:
    figure, axes = _axes(message("axis.true", figure=series.name), message("axis.estimate"))
    axes.scatter(series.true, series.estimate, s=10, c=_FIRST, alpha=0.5)
    ends = [float(series.true.min()), float(series.true.max())]
    axes.plot(ends, ends, color="black", linewidth=1)
    axes.grid(alpha=0.3)
    return figure


def _precision(study: Study) -> Figure:
    figure, axes = _axes(message("axis.adaptive_trials"), message("axis.theta_error"))
    adaptive, form = curves([one.ability for one in study.people])
    axes.plot(range(1, len(adaptive) + 1), adaptive, color=_FIRST)
    axes.axhline(form, color=_SECOND, linestyle="--")
    axes.axvline(study.sizes.fixed, color="grey", linestyle=":")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return figure


def _saving(study: Study) -> Figure:
    figure, axes = _axes(message("axis.ability"), message("axis.items_needed"))
    found = by_theta(study)
    ratios, errors = [one.ratio for one, _ in found.values()], [1.96 * one.standard_error for one, _ in found.values()]
    axes.errorbar(list(found), ratios, yerr=errors, fmt="o", color=_FIRST, capsize=3)
    axes.plot(list(found), [least for _, least in found.values()], color=_SECOND)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return figure


def _holding(study: Study) -> Figure:
    figure, axes = _axes(message("axis.adaptive_trials"), message("axis.chance"))
    right, third, target = chances(study), thirds(study), study.sizes.target
    axes.axhspan(target - MOST_OFF, target + MOST_OFF, color="grey", alpha=0.15, linewidth=0)
    trials = range(1, right.shape[1] + 1)
    for place, (name, colour) in enumerate(zip(THIRDS.values(), (_SECOND, "black", _FIRST), strict=True)):
        axes.plot(trials, right[third == place].mean(axis=0), color=colour, label=text(name))
    axes.set_ylim(0.5, 1.0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="best")
    return figure
