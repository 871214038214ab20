"""The pictures of a cohort's report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fr_core.scoring.intervals import Rate
from fr_evaluation.plots import new_figure
from fr_training.grading.figures import CohortFigures, TraineeRow
from fr_training.grading.fusion import CrowdFigures
from fr_training.grading.items import ItemRow
from fr_training.grading.scores import LearningFigures
from fr_training.plan import OCCASIONS
from fr_training.report.plots import FIRST, SECOND, THIRD, learning_figure, of_pairs
from fr_training.statistics.fusion import GroupArea

CAPTIONS = {
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


def figures(found: CohortFigures) -> dict[str, Figure]:
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
    """How scores are spread in each test."""
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
