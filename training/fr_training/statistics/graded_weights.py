"""Measures what each rating of a person is worth as evidence, as a likelihood ratio by the graded model."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import message
from fr_training.statistics import estimates
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.graded import UNKNOWN_PEOPLE, Prior, posterior_nodes
from fr_training.statistics.ordered_probit import LEVELS, SHAPE, Rated, check_answers, node_chances, with_slips


@dataclass(frozen=True, slots=True)
class Weight:
    """The likelihood ratio of a rating, as the model of a person gives it for the pairs that were rated."""

    rating: int
    ratio: Estimate  # geometric mean over the posterior; the standard error is that of its natural logarithm


def weights_of(answers: Sequence[Rated], prior: Prior = UNKNOWN_PEOPLE) -> tuple[Weight, ...]:
    """The likelihood ratio of each rating, from 3 to -3, averaged over the pairs that were rated.

    The numerator is the chance of the rating to the mated pairs, the denominator that to the non-mated, each at the
    same abilities; the interval is that of the posterior. It assumes that evidence is normal in the tails, which few
    answers can show.

    Raises:
        UndefinedRate: there is no pair of one person, or none of two.
        ValueError: a rating or a difficulty is out of its range.
    """
    check_answers(answers)
    hard = [_parts([one.b for one in answers if one.mated == mated]) for mated in (True, False)]
    if not all(hard):
        raise UndefinedRate(message("undefined.both_error_rates"))
    masses = posterior_nodes(answers, prior)
    found = []
    for rating in range(LEVELS, -LEVELS - 1, -1):
        ratios = {one: _chances_of(rating, hard, one) for one in {setting.correlation for setting, _ in prior.settings}}
        logs = np.stack([_log_ratio(*ratios[one.correlation], one.slips) for one, _ in prior.settings]).ravel()
        order = np.argsort(logs, kind="stable")
        flat = masses.ravel()[order]
        below = np.cumsum(flat) - flat / 2
        low, high = np.exp(np.interp(estimates.ENDS, below, logs[order]))
        mean = float(flat @ logs[order])
        spread = sqrt(max(0.0, float(flat @ (logs[order] - mean) ** 2)))
        found.append(Weight(rating, Estimate(exp(mean), spread, float(low), float(high))))
    return tuple(found)


_PARTS = 8  # of the pairs of a truth, by difficulty, whose means stand for them in a likelihood ratio


def _parts(b: Sequence[float]) -> list[tuple[float, float]]:
    """Mean difficulties of equal parts, and the share of each."""
    parts = [one for one in np.array_split(np.sort(np.array(b)), _PARTS) if len(one)]
    return [(float(one.mean()), len(one) / len(b)) for one in parts]


def _chances_of(rating: int, hard: Sequence[Sequence[tuple[float, float]]], correlation: float) -> tuple[F64, F64]:
    """The chances of a rating to pairs of one person, and to pairs of two."""

    def mean(mated: bool, parts: Sequence[tuple[float, float]]) -> F64:
        chances = (share * node_chances(Rated(mated, b, rating), correlation) for b, share in parts)
        return np.asarray(sum(chances, np.zeros(SHAPE)), dtype=np.float64)

    same, different = hard
    return mean(True, same), mean(False, different)


def _log_ratio(same: F64, different: F64, slips: float) -> F64:
    return np.asarray(np.log(with_slips(same, slips)) - np.log(with_slips(different, slips)), dtype=np.float64)
