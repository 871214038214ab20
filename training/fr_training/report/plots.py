"""Draws the plots of the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fr_core.scoring.intervals import Rate, rate
from fr_evaluation.plots import COLOURS, new_figure
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
    "roc": (
        'Each point is one place to draw the line between "different" and "same": up is more pairs of one person '
        "found, left is fewer pairs of two people taken for one. The dashed line is guessing."
    ),
    "learning": (
        "Share of right answers as the trials go on, with the band that holds it in 95 of 100 resamplings; where every "
        "answer of a stretch was alike, with Wilson's interval. The pairs of different blocks need not be equally "
        "hard: a rise may be easier pairs. Whether somebody learnt, the tests say."
    ),
    "ratings": (
        "Of the pairs with each rating, the share that does show one person, with 95 % intervals. A rating that says "
        "what it should rises from left to right."
    ),
    "probabilities": (
        "Stated probabilities against the share that does show one person. On the dashed line both agree; the bars are "
        "95 % intervals, and one that holds the line shows no fault."
    ),
    "errors": "Share of wrong answers by what the pair showed and by how hard it was, with 95 % intervals.",
}


def figures(found: TraineeFigures) -> dict[str, Figure]:
    """The pictures by name, in the order to show them; those that have nothing to show are left out."""
    drawn: dict[str, Figure] = {}
    pairs = found.together.pairs
    if pairs is not None:
        curves = {"you": pairs.roc, "all trainees": found.cohort_roc, "machine": pairs.machine.roc}
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
    figure, axes = new_figure('pairs of two people called "same"', 'pairs of one person called "same"')
    styles = ((FIRST, "-", "o"), (SECOND, "-", ""), (THIRD, ":", ""))
    for (label, curve), (colour, line, marker) in zip(curves.items(), styles, strict=False):
        x = [point.false_same for point in curve.points]
        y = [point.hits for point in curve.points]
        named = f"{label} (area {curve.area.value:.2f})"
        axes.plot(x, y, color=colour, linestyle=line, marker=marker, markersize=4, label=named)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    _shares(axes, both=True)
    axes.legend(frameon=False, loc="lower right")
    return figure


def rating_figure(evidence: EvidenceFigures) -> Figure:
    """Of each rating, the share of pairs of one person."""
    figure, axes = new_figure("rating, from surely two people to surely one", "pairs that show one person")
    used = [one for one in reversed(evidence.levels) if one.same + one.different]
    _with_bars(axes, [one.level for one in used], [rate(one.same, one.same + one.different) for one in used], FIRST)
    axes.set_xticks([one.level for one in reversed(evidence.levels)])
    _shares(axes)
    return figure


def probability_figure(stated: ProbabilityFigures) -> Figure:
    """Stated probabilities against shares."""
    figure, axes = new_figure("stated probability of one person", "pairs that show one person")
    _with_bars(axes, [one.mean for one in stated.bins], [one.same for one in stated.bins], FIRST)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    _shares(axes, both=True)
    return figure


def error_figure(errors: Sequence[ErrorsAt]) -> Figure:
    """Wrong answers by truth and difficulty."""
    figure, axes = new_figure("difficulty by the machine", "wrong answers")
    for truth, label, colour, shift in (
        ("same", "one person, called different", FIRST, -0.08),
        ("different", 'two people, called "same"', SECOND, 0.08),
    ):
        here = [(THIRDS.index(one.third) + shift, one.wrong) for one in errors if one.truth == truth]
        known = [(x, wrong) for x, wrong in here if isinstance(wrong, Rate)]
        if known:
            _with_bars(axes, [x for x, _ in known], [wrong for _, wrong in known], colour, label)
    axes.set_xticks(range(len(THIRDS)), THIRDS)
    _shares(axes)
    axes.legend(frameon=False)
    return figure


def learning_figure(learning: LearningFigures) -> Figure:
    """Right answers over trials."""
    figure, axes = new_figure("pairs, in the order in which they were answered", "right answers")
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


COHORT_CAPTIONS = {
    "scores": "Scores of the trainees in each test.",
    "crowds": (
        "Area under the ROC curve of the average of so many trainees of this cohort who judged alone. The 95 % "
        "intervals say what other items may show of these trainees."
    ),
    "items": (
        "Each item by the machine's difficulty and by the share of trainees who had it right. Crosses are to be looked "
        "at: the able do worse than others, or fewer are right than by guessing, further than chance takes one item."
    ),
}


def cohort_figures(found: CohortFigures) -> dict[str, Figure]:
    """The pictures by name, in the order to show them; those that have nothing to show are left out."""
    drawn: dict[str, Figure] = {}
    if any(row.scores for row in found.rows):
        drawn["scores"] = score_figure(found.rows)
    if found.together.pairs is not None:
        pairs = found.together.pairs
        drawn |= of_pairs(pairs, {"all trainees": pairs.roc, "machine": pairs.machine.roc})
    if isinstance(found.learning, LearningFigures):
        drawn["learning"] = learning_figure(found.learning)
    if any(isinstance(size.area, GroupArea) for one in found.crowds for size in one.sizes):
        drawn["crowds"] = crowd_figure(found.crowds)
    if any(one.b is not None and isinstance(one.right, Rate) for one in found.items):
        drawn["items"] = item_figure(found.items)
    return drawn


def score_figure(rows: Sequence[TraineeRow]) -> Figure:
    """The spread of scores in each test."""
    figure, axes = new_figure("percent right", "trainees")
    edges = np.linspace(0, 100, 21).tolist()
    for test, colour in zip(OCCASIONS, (FIRST, SECOND, THIRD), strict=True):
        scores = [row.scores[test] for row in rows if test in row.scores]
        if scores:
            axes.hist(scores, edges, color=colour, alpha=0.5, label=f"{test} ({len(scores):,})")
    axes.legend(frameon=False)
    return figure


def crowd_figure(crowds: Sequence[CrowdFigures]) -> Figure:
    """Areas by the number of trainees, a line for each form."""
    figure, axes = new_figure("trainees who judged alone", "area under the ROC curve of their average")
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
    axes.legend(frameon=False)
    return figure


def item_figure(items: Sequence[ItemRow]) -> Figure:
    """Share of right answers by difficulty."""
    figure, axes = new_figure("difficulty by the machine, standard deviations", "trainees who had it right")
    for quarantined, colour, marker, label in ((False, FIRST, "o", "items"), (True, SECOND, "x", "to be looked at")):
        here = [
            (one.b, one.right.value)
            for one in items
            if one.b is not None and isinstance(one.right, Rate) and one.quarantined is quarantined
        ]
        if here:
            axes.scatter([b for b, _ in here], [right for _, right in here], s=16, c=colour, marker=marker, label=label)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure
