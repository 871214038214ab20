"""Draws the plots of the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fr_core.scoring.intervals import Rate, rate
from fr_evaluation.plots import COLOURS, new_figure
from fr_locales.messages import Message, message
from fr_locales.rendering import render
from fr_training.grading.evidence import EvidenceFigures
from fr_training.grading.figures import CohortFigures, TraineeFigures, TraineeRow
from fr_training.grading.fusion import CrowdFigures
from fr_training.grading.items import ItemRow
from fr_training.grading.pairs import THIRDS, ErrorsAt, PairFigures, ProbabilityFigures
from fr_training.grading.rates import Roc
from fr_training.grading.scores import LearningFigures
from fr_training.plan import OCCASIONS
from fr_training.statistics.fusion import GroupArea

FIRST, SECOND = COLOURS
THIRD = "black"
CAPTIONS = {
    "roc": message("caption.roc"),
    "learning": message("caption.learning"),
    "ratings": message("caption.ratings"),
    "probabilities": message("caption.probabilities"),
    "errors": message("caption.errors"),
    "scores": message("caption.scores"),
    "crowds": message("caption.crowds"),
    "items": message("caption.items"),
}


def _axes(x: Message, y: Message) -> tuple[Figure, Axes]:
    return new_figure(render(x), render(y))


def figures(found: TraineeFigures) -> dict[str, Figure]:
    """The pictures by name, in the order to show them; those that have nothing to show are left out."""
    drawn: dict[str, Figure] = {}
    pairs = found.together.pairs
    if pairs is not None:
        curves = {
            render(message("curve.you")): pairs.roc,
            render(message("curve.trainees")): found.cohort_roc,
            render(message("curve.machine")): pairs.machine.roc,
        }
        drawn |= of_pairs(pairs, curves)
    if isinstance(found.learning, LearningFigures):
        drawn["learning"] = learning_figure(found.learning)
    return drawn


def of_pairs(pairs: PairFigures, curves: Mapping[str, object]) -> dict[str, Figure]:
    """The pictures of rated pairs, with the curves that there are."""
    drawn: dict[str, Figure] = {}
    known = {label: curve for label, curve in curves.items() if isinstance(curve, Roc)}
    if known:
        drawn["roc"] = roc_figure(known)
    if isinstance(pairs.evidence, EvidenceFigures):
        drawn["ratings"] = rating_figure(pairs.evidence)
    if isinstance(pairs.probabilities, ProbabilityFigures):
        drawn["probabilities"] = probability_figure(pairs.probabilities)
    if any(isinstance(one.wrong, Rate) for one in pairs.errors_at):
        drawn["errors"] = error_figure(pairs.errors_at)
    return drawn


def roc_figure(curves: Mapping[str, Roc]) -> Figure:
    """Hits against false "same"."""
    figure, axes = _axes(message("axis.false_same"), message("axis.hits"))
    styles = ((FIRST, "-", "o"), (SECOND, "-", ""), (THIRD, ":", ""))
    for (label, curve), (colour, line, marker) in zip(curves.items(), styles, strict=False):
        x = [point.false_same for point in curve.points]
        y = [point.hits for point in curve.points]
        named = render(message("curve.area", name=label, area=curve.area.value))
        axes.plot(x, y, color=colour, linestyle=line, marker=marker, markersize=4, label=named)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    _shares(axes, both=True)
    axes.legend(frameon=False, loc="lower right")
    return figure


def rating_figure(evidence: EvidenceFigures) -> Figure:
    """Of each rating, the share of pairs of one person."""
    figure, axes = _axes(message("axis.rating"), message("axis.one_person"))
    used = [one for one in reversed(evidence.levels) if one.same + one.different]
    _with_bars(axes, [one.level for one in used], [rate(one.same, one.same + one.different) for one in used], FIRST)
    axes.set_xticks([one.level for one in reversed(evidence.levels)])
    _shares(axes)
    return figure


def probability_figure(stated: ProbabilityFigures) -> Figure:
    """Stated probabilities against shares."""
    figure, axes = _axes(message("axis.stated"), message("axis.one_person"))
    _with_bars(axes, [one.mean for one in stated.bins], [one.same for one in stated.bins], FIRST)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    _shares(axes, both=True)
    return figure


def error_figure(errors: Sequence[ErrorsAt]) -> Figure:
    """Wrong answers by truth and difficulty."""
    figure, axes = _axes(message("axis.difficulty"), message("axis.wrong"))
    for truth, label, colour, shift in (
        ("same", message("curve.misses"), FIRST, -0.08),
        ("different", message("curve.false_same"), SECOND, 0.08),
    ):
        here = [(THIRDS.index(one.third) + shift, one.wrong) for one in errors if one.truth == truth]
        known = [(x, wrong) for x, wrong in here if isinstance(wrong, Rate)]
        if known:
            _with_bars(axes, [x for x, _ in known], [wrong for _, wrong in known], colour, render(label))
    axes.set_xticks(
        range(len(THIRDS)), [render(message("axis.easy")), render(message("axis.middle")), render(message("axis.hard"))]
    )
    _shares(axes)
    axes.legend(frameon=False, loc="best")
    return figure


def learning_figure(learning: LearningFigures) -> Figure:
    """Right answers over trials."""
    figure, axes = _axes(message("axis.order"), message("axis.right"))
    x = [(one.first + one.last) / 2 + 1 for one in learning.points]
    bands = [one.band or one.right.interval for one in learning.points]  # where all answers agree, Wilson's serves
    axes.fill_between(x, [one.low for one in bands], [one.high for one in bands], color=FIRST, alpha=0.2, linewidth=0)
    axes.plot(x, [one.right.value for one in learning.points], color=FIRST, marker="o")
    _shares(axes)
    return figure


def _with_bars(axes: Axes, x: Sequence[float], rates: Sequence[Rate], colour: str, label: str = "") -> None:
    """Points with their intervals."""
    values = [one.value for one in rates]
    below = [max(0.0, one.value - one.interval.low) for one in rates]
    above = [max(0.0, one.interval.high - one.value) for one in rates]
    axes.errorbar(
        x, values, yerr=[below, above], fmt="o", color=colour, capsize=3, linewidth=1, label=label or "_nolegend_"
    )


def _shares(axes: Axes, *, both: bool = False) -> None:
    """Axes of shares from 0 to 1."""
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if both:
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.3)


def cohort_figures(found: CohortFigures) -> dict[str, Figure]:
    """The pictures by name, in the order to show them; those that have nothing to show are left out."""
    drawn: dict[str, Figure] = {}
    if any(row.scores for row in found.rows):
        drawn["scores"] = score_figure(found.rows)
    if found.together.pairs is not None:
        pairs = found.together.pairs
        curves = {render(message("curve.trainees")): pairs.roc, render(message("curve.machine")): pairs.machine.roc}
        drawn |= of_pairs(pairs, curves)
    if isinstance(found.learning, LearningFigures):
        drawn["learning"] = learning_figure(found.learning)
    if any(isinstance(size.area, GroupArea) for one in found.crowds for size in one.sizes):
        drawn["crowds"] = crowd_figure(found.crowds)
    if any(one.b is not None and isinstance(one.right, Rate) for one in found.items):
        drawn["items"] = item_figure(found.items)
    return drawn


def score_figure(rows: Sequence[TraineeRow]) -> Figure:
    """The spread of scores in each test."""
    figure, axes = _axes(message("axis.score"), message("axis.trainees"))
    edges = np.linspace(0, 100, 21).tolist()
    for test, colour in zip(OCCASIONS, (FIRST, SECOND, THIRD), strict=True):
        scores = [row.scores[test] for row in rows if test in row.scores]
        if scores:
            axes.hist(scores, edges, color=colour, alpha=0.5, label=f"{test} ({len(scores):,})")
    axes.legend(frameon=False, loc="best")
    return figure


def crowd_figure(crowds: Sequence[CrowdFigures]) -> Figure:
    """Areas by the number of trainees, a line for each form."""
    figure, axes = _axes(message("axis.alone"), message("axis.area"))
    styles = ((FIRST, "-"), (SECOND, "-"), (THIRD, "--"), ("grey", ":"))
    for one, (colour, line) in zip(crowds, styles, strict=False):
        known = [(size.size, size.area) for size in one.sizes if isinstance(size.area, GroupArea)]
        if known:
            x = [size for size, _ in known]
            axes.fill_between(
                x, [area.low for _, area in known], [area.high for _, area in known], color=colour, alpha=0.15
            )
            axes.plot(x, [area.area for _, area in known], color=colour, linestyle=line, marker="o", label=one.form)
    axes.set_ylim(top=1.01)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="best")
    return figure


def item_figure(items: Sequence[ItemRow]) -> Figure:
    """Share of right answers by difficulty."""
    figure, axes = _axes(message("axis.difficulty_sd"), message("axis.trainees_right"))
    for quarantined, colour, marker, name in (
        (False, FIRST, "o", message("curve.items")),
        (True, SECOND, "x", message("curve.look")),
    ):
        here = [
            (one.b, one.right.value)
            for one in items
            if one.b is not None and isinstance(one.right, Rate) and one.quarantined is quarantined
        ]
        if here:
            axes.scatter(
                [b for b, _ in here], [right for _, right in here], s=16, c=colour, marker=marker, label=render(name)
            )
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="best")
    return figure
