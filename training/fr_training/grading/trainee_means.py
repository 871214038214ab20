"""Computes the means of trainees' own figures, as the answers of one trainee go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, hypot, pi, sqrt

import numpy as np

from fr_core.scoring.auc import auc
from fr_locales.messages import message
from fr_training.grading.advice import advised, aided_trials
from fr_training.grading.rates import scores
from fr_training.grading.values import Maybe, Undefined, grouped, of_exercises, pairs, plain_pairs, unless_undefined
from fr_training.prompts import ExerciseKind
from fr_training.statistics.advice import net_shift
from fr_training.statistics.clustered import mean_of_people, spread_of_items
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.signal_detection import Sensitivity, z_rate
from fr_training.trials import Result

MIN_TRAINEES = 5
"""Trainees with a figure of their own below whom nothing is said of the cohort: too few to tell how they differ."""

MIN_OWN = 10  # pairs below which a trainee has no figure of their own here


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """Means of the trainees' own figures; errors and intervals are those of the scatter between trainees."""

    trainees: int  # who rated MIN_OWN pairs or more, some of both kinds; the first three figures are theirs
    dprime: Maybe[Estimate]  # mean d'; how much the items differ is part of its error
    criterion: Maybe[Estimate]  # mean c, likewise
    area: Maybe[Estimate]  # mean area under the ROC curve
    advised: int  # trainees with aided pairs of both truths under both labels
    # Mean shift of the criterion by the advice, as `AutomationBias.net`; few pairs each draw it towards 0.
    net: Maybe[Estimate]
    triads: Maybe[Estimate]  # mean share of right answers to triads
    rare: Maybe[Estimate]  # mean of false "same" where two people are rare less elsewhere, as shares


def own_figures(cohort: Mapping[str, Sequence[Result]], sensitivities: Mapping[str, Maybe[Sensitivity]]) -> OwnFigures:
    """Compute the means of a cohort, with the sensitivity of the plain pairs of each trainee."""
    own = {
        trainee: one
        for trainee, one in sensitivities.items()
        if isinstance(one, Sensitivity) and one.mated + one.nonmated >= MIN_OWN
    }
    rated = {trainee: plain_pairs(cohort[trainee]) for trainee in own}
    of_dprime = _item_error([one for some in rated.values() for one in some])
    shifts = [one for results in cohort.values() if (one := _shift(results)) is not None]
    return OwnFigures(
        trainees=len(own),
        dprime=_mean([one.dprime for one in own.values()], of_dprime),
        criterion=_mean([one.criterion for one in own.values()], of_dprime / 2),  # of the same two z
        area=_mean_of([auc(*scores(some, [float(one.rating or 0) for one in some])) for some in rated.values()]),
        advised=len(shifts),
        net=_mean_of(shifts),
        triads=_mean_of([one for results in cohort.values() if (one := _triads(results)) is not None]),
        rare=_mean_of([one for results in cohort.values() if (one := _rare(results)) is not None]),
    )


def _mean(found: Sequence[Estimate], item_error: float) -> Maybe[Estimate]:
    return _mean_of([one.value for one in found], [one.standard_error for one in found], item_error)


def _mean_of(
    values: Sequence[float], errors: Sequence[float] | None = None, item_error: float = 0.0
) -> Maybe[Estimate]:
    if len(values) < MIN_TRAINEES:
        return Undefined(message("undefined.few_trainees", least=MIN_TRAINEES))
    own = None if errors is None else np.array(errors)
    return unless_undefined(lambda: mean_of_people(np.array(values), own, item_error))


def _item_error(rated: Sequence[Result]) -> float:
    """Scatter of the mean d' by the choice of items: z has the slope 1 / density, by the delta method."""
    errors = []
    for truth in ("same", "different"):
        items = grouped((one for one in rated if one.truth == truth), lambda one: (one.form, one.item_id)).values()
        called = np.array([sum(one.answer == "same" for one in some) for some in items], dtype=np.float64)
        shown = np.array([len(some) for some in items], dtype=np.float64)
        z = z_rate(int(called.sum()), int(shown.sum())) if len(shown) else 0.0
        errors.append(spread_of_items(called, shown) * sqrt(2.0 * pi) * exp(z * z / 2.0))
    return hypot(*errors)


def _shift(results: Sequence[Result]) -> float | None:
    rated = advised(results)
    found = unless_undefined(lambda: net_shift(aided_trials(rated))) if rated else None
    return found if isinstance(found, float) else None


def _triads(results: Sequence[Result]) -> float | None:
    triads = of_exercises(results, frozenset({ExerciseKind.TRIAD}))
    return sum(one.correct is True for one in triads) / len(triads) if triads else None


def _rare(results: Sequence[Result]) -> float | None:
    different = [one for one in pairs(results) if one.truth == "different"]
    rare = [one.answer == "same" for one in different if one.exercise == ExerciseKind.LOW_PREVALENCE]
    usual = [one.answer == "same" for one in plain_pairs(different)]
    return sum(rare) / len(rare) - sum(usual) / len(usual) if rare and usual else None
