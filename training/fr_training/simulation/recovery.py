"""Estimates beside the truth: is the mean right, and do intervals hold the truth as often as they say?

d' and c by the log-linear rule are drawn towards 0 by design, by a known amount: their target is the exact mean of the
estimator over all outcomes, given the true d' and c (`fr_training.statistics.signal_detection.expected`). An ability is
the mean of a posterior, which is right on average over people who are spread as its prior says, and of nobody in
particular: it is estimated here with the population as prior. Reports give abilities from triads under a standard
normal prior, whatever the people; how far that is off for these is told without a bar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fr_core.scoring.checks import F64
from fr_training.simulation.claims import Claim, Series, bias_claim, coverage_claim
from fr_training.simulation.study import Recovered, Study
from fr_training.simulation.trainee import Abilities
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_response import Ability
from fr_training.statistics.signal_detection import expected


def recovery(study: Study) -> tuple[Claim, ...]:
    """The claims on bias, then those on coverage."""
    of_all = series_of(study)
    return (*map(bias_claim, of_all), *map(coverage_claim, of_all))


def series_of(study: Study) -> tuple[Series, ...]:
    """Every estimate of everybody."""
    people = study.people
    truth = [one.abilities for one in people]
    plain = [expected(one.dprime, one.says_same_above, study.sizes.pairs, study.sizes.pairs) for one in truth]
    dprime, criterion = [one.pairs.dprime for one in people], [one.pairs.criterion for one in people]
    moved = _array([2.0 * one.advice_weight for one in truth])
    after = _array([_shift(study, one, one.advice_weight) for one in truth])
    before = _array([_shift(study, one, 0.0) for one in truth])
    theta = _array([one.theta for one in truth])
    return (
        _series("d'", "dprime", [one.dprime for one in truth], [one.dprime for one in plain], dprime),
        _series("c", "criterion", [one.says_same_above for one in truth], [one.criterion for one in plain], criterion),
        _series("the change of c by advice", "change", moved, after, [one.advice.shift.criterion for one in people]),
        _series("the net change of c by advice", "net", moved, after - before, [one.advice.net for one in people]),
        _theta("theta from the fixed form", "theta_form", theta, people, lambda one: one.ability.form),
        _theta("theta from the adaptive block", "theta_adaptive", theta, people, lambda one: one.ability.adaptive),
        _theta("theta from triads, as reported", "theta_triads", theta, people, lambda one: one.triads, unbiased=False),
    )


def _shift(study: Study, truth: Abilities, weight: float) -> float:
    """Mean over all outcomes of c after the advice "different" less c after "same", of a criterion moved so far."""
    same, different = study.advice_cells
    here = truth.says_same_above
    told_different = expected(truth.dprime, here + weight, *different)
    return told_different.criterion - expected(truth.dprime, here - weight, *same).criterion


def _series(
    name: str, key: str, true: F64 | Sequence[float], target: F64 | Sequence[float], found: Sequence[Estimate]
) -> Series:
    values, low, high = ([one.value for one in found], [one.low for one in found], [one.high for one in found])
    return Series(name, key, _array(true), _array(target), _array(values), _array(low), _array(high))


def _theta(
    name: str,
    key: str,
    true: F64,
    people: Sequence[Recovered],
    estimate: Callable[[Recovered], Ability],
    *,
    unbiased: bool = True,
) -> Series:
    found = [estimate(one) for one in people]
    values, low, high = ([one.theta for one in found], [one.low for one in found], [one.high for one in found])
    return Series(name, key, true, true, _array(values), _array(low), _array(high), unbiased)


def _array(values: F64 | Sequence[float]) -> F64:
    return np.array(values, dtype=np.float64)
