"""Writes the study as one HTML page with its pictures."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fr_evaluation.html import document, pictures
from fr_evaluation.html import words as in_html
from fr_evaluation.plots import COLOURS, new_figure
from fr_training.simulation.claims import MOST_OFF, THIRDS, Claim, Series, chances, series_of, thirds
from fr_training.simulation.report import NOTICE, sections, summary
from fr_training.simulation.savings import by_theta, curves
from fr_training.simulation.study import Study

_FIRST, _SECOND = COLOURS
_DRAWN = ("dprime", "criterion", "net", "theta_adaptive")

_RECOVERED = "Each point is a trainee, estimate against truth; on the line both agree."
CAPTIONS = {
    **dict.fromkeys(_DRAWN, _RECOVERED),
    "precision": (
        "Standard error of theta after each trial of the adaptive block, over all trainees, and after the whole fixed "
        "form (dashed)."
    ),
    "saving": (
        "Items that an adaptive block needed for the standard error of the fixed form, in parts of the form's, with 95 "
        "% intervals; the line is the least that any choice of pairs could need."
    ),
    "holding": (
        "True chance of a right answer at each trial of the adaptive block, by thirds of ability; grey is the bar."
    ),
}


def page(study: Study, claims: Sequence[Claim]) -> str:
    """The whole file."""
    told = {one.heading: in_html(one) for one in sections(study, claims)}
    return document(
        "Simulated trainees",
        NOTICE,
        summary(study, claims),
        {**told, "Pictures": pictures(figures(study), CAPTIONS)},
    )


def figures(study: Study) -> dict[str, Figure]:
    """The pictures by name, in the order to show them."""
    recovered = {one.key: _recovered(one) for one in series_of(study) if one.key in _DRAWN}
    return recovered | {"precision": _precision(study), "saving": _saving(study), "holding": _holding(study)}


def _recovered(series: Series) -> Figure:
    figure, axes = new_figure(f"{series.name}, true", "estimate")
    axes.scatter(series.true, series.estimate, s=10, c=_FIRST, alpha=0.5)
    ends = [float(series.true.min()), float(series.true.max())]
    axes.plot(ends, ends, color="black", linewidth=1)
    axes.grid(alpha=0.3)
    return figure


def _precision(study: Study) -> Figure:
    figure, axes = new_figure("trials of the adaptive block", "standard error of theta")
    adaptive, form = curves([one.ability for one in study.people])
    axes.plot(range(1, len(adaptive) + 1), adaptive, color=_FIRST)
    axes.axhline(form, color=_SECOND, linestyle="--")
    axes.axvline(study.sizes.fixed, color="grey", linestyle=":")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return figure


def _saving(study: Study) -> Figure:
    figure, axes = new_figure("ability", "items needed, in parts of the fixed form's")
    found = by_theta(study)
    ratios, errors = [one.ratio for one, _ in found.values()], [1.96 * one.standard_error for one, _ in found.values()]
    axes.errorbar(list(found), ratios, yerr=errors, fmt="o", color=_FIRST, capsize=3)
    axes.plot(list(found), [least for _, least in found.values()], color=_SECOND)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return figure


def _holding(study: Study) -> Figure:
    figure, axes = new_figure("trials of the adaptive block", "chance of a right answer")
    right, third, target = chances(study), thirds(study), study.sizes.target
    axes.axhspan(target - MOST_OFF, target + MOST_OFF, color="grey", alpha=0.15, linewidth=0)
    trials = range(1, right.shape[1] + 1)
    for place, (name, colour) in enumerate(zip(THIRDS, (_SECOND, "black", _FIRST), strict=True)):
        axes.plot(trials, right[third == place].mean(axis=0), color=colour, label=name)
    _labelled(axes)
    return figure


def _labelled(axes: Axes) -> None:
    axes.set_ylim(0.5, 1.0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
