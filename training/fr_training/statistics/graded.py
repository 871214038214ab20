"""Estimates a person's ability, criterion and use of the rating scale from graded answers to pairs.

The model is that of `ordered_probit`. Its posterior is added up on a grid of nodes: each person by a prior, which
`graded_class` learns where there is a class, and each setting of what machine difficulty is worth by its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import message
from fr_training.statistics import estimates
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.ordered_probit import (
    AT_ITS_WORD,
    CORRELATIONS,
    CRITERION,
    CUTS,
    HALF,
    LEVELS,
    LOG_SCALE,
    SHAPE,
    SLIPS,
    THETA,
    Rated,
    Setting,
    as_used,
    check_answers,
    log_likelihood,
    node_chances,
    node_logs,
    share_below,
    strength,
    with_slips,
)


@dataclass(frozen=True, slots=True)
class Normal:
    """A prior."""

    mean: float
    sd: float  # above 0


@dataclass(frozen=True, slots=True)
class Prior:
    """The people, and how far the machine's difficulties are theirs."""

    theta: Normal = Normal(0.0, 2.0)  # ability, logits
    criterion: Normal = Normal(0.0, 0.5)  # c, in standard deviations of the evidence
    log_scale: Normal = Normal(0.0, 0.5)  # natural logarithm of the scale
    # The settings that are considered possible, with their probabilities; the shares add up to 1.
    settings: tuple[tuple[Setting, float], ...] = tuple(
        (Setting(correlation, slips), 1.0 / len(CORRELATIONS) / len(SLIPS))
        for correlation in CORRELATIONS
        for slips in SLIPS
    )


UNKNOWN_PEOPLE = Prior()  # the prior of somebody without a class


@dataclass(frozen=True, slots=True)
class Graded:
    """The posterior of a person: means, standard deviations, and equal-tailed 95 % intervals."""

    theta: Estimate  # ability, logits on the scale of the items
    criterion: Estimate  # c; above 0 says "different" more readily
    scale: Estimate  # s; above 1 keeps sure ratings for stronger evidence than most people do


def posterior(answers: Sequence[Rated], prior: Prior = UNKNOWN_PEOPLE) -> Graded:
    """The ability, criterion and scale of a person; without an answer, the prior comes out.

    The mean is drawn towards the prior's; the interval covers the truth as often as it says on average over people who
    are as the prior says.

    Raises:
        ValueError: a rating or a difficulty is out of its range.
    """
    check_answers(answers)
    return summary(posterior_nodes(answers, prior).sum(axis=0))


def right_at(answers: Sequence[Rated], b: F64, prior: Prior = UNKNOWN_PEOPLE) -> F64:
    """f64[n]: the chance that the person has a pair of each difficulty right, one truth as likely as the other.

    It is that of the mean ability, and takes the machine at its word, as the choice of the next pair does. The
    undecided are not right; people whose answers are all of one strength are taken to be never undecided.

    Raises:
        ValueError: a rating or a difficulty is out of its range.
    """
    check_answers(answers)
    logs = log_likelihood(answers, AT_ITS_WORD) + log_prior(prior)
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    gap = 0.0 if any(abs(one.rating) == HALF for one in as_used(answers)) else CUTS[LEVELS]
    theta = float(shares.sum(axis=(1, 2)) @ THETA)
    stands = strength(theta - b)[:, None, None]
    criterion, undecided = CRITERION[:, None], gap * np.exp(LOG_SCALE)
    right = share_below(stands - criterion - undecided) + share_below(stands + criterion - undecided)
    return np.asarray((right * shares.sum(axis=0)).sum(axis=(1, 2)) / 2, dtype=np.float64)


def theta_sds(answers: Sequence[Rated], prior: Prior = UNKNOWN_PEOPLE) -> F64:
    """f64[n]: the standard deviation of the posterior ability after each of n answers, the machine at its word."""
    check_answers(answers)
    logs, found = log_prior(prior), []
    for one in as_used(answers):
        logs = logs + node_logs(one, AT_ITS_WORD)
        shares = np.exp(logs - logs.max()).sum(axis=(1, 2))
        shares /= shares.sum()
        found.append(sqrt(float(shares @ (THETA - shares @ THETA) ** 2)))
    return np.array(found, dtype=np.float64)


def posterior_nodes(answers: Sequence[Rated], prior: Prior) -> F64:
    """f64[settings, theta, criterion, scale]: the posterior, which adds up to 1."""
    items = len({(one.mated, one.b) for one in answers})
    table = np.stack(
        [
            log_likelihood(answers, one) + log_prior(prior, doubt(one, items)) + np.log(share)
            for one, share in prior.settings
        ]
    )
    shares = np.exp(table - table.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def doubt(setting: Setting, items: int) -> float:
    """The variance of the mean difficulty, for people, of so many items: how far all of them may be off together."""
    return (1.0 - setting.correlation**2) / max(1, items)


def log_prior(prior: Prior, of_items: float = 0.0) -> F64:
    """f64[theta, criterion, scale]: at the nodes; `of_items` is the variance of the mean difficulty of the pairs."""
    theta = Normal(prior.theta.mean, sqrt(prior.theta.sd**2 + of_items))
    of_theta, of_criterion = log_shares(THETA, theta), log_shares(CRITERION, prior.criterion)
    return of_theta[:, None, None] + of_criterion[:, None] + log_shares(LOG_SCALE, prior.log_scale)


def log_shares(nodes: F64, normal: Normal) -> F64:
    """f64[n]: natural logarithm of the share of a normal distribution at each node; the shares add up to 1."""
    logs = -(((nodes - normal.mean) / normal.sd) ** 2) / 2
    return np.asarray(logs - np.log(np.exp(logs).sum()), dtype=np.float64)


def summary(shares: F64) -> Graded:
    """The posterior of f64[theta, criterion, scale], which add up to 1."""
    theta = _estimate(THETA, shares.sum(axis=(1, 2)))
    criterion = _estimate(CRITERION, shares.sum(axis=(0, 2)))
    log_scale = _estimate(LOG_SCALE, shares.sum(axis=(0, 1)))
    ends = (float(np.exp(one)) for one in (log_scale.value, log_scale.low, log_scale.high))
    value, low, high = ends
    return Graded(theta, criterion, Estimate(value, value * log_scale.standard_error, low, high))


def _estimate(nodes: F64, shares: F64) -> Estimate:
    """Mean and SD; the ends by the masses of cells, between whose edges z is a straight line."""
    mean = float(shares @ nodes)
    deviation = sqrt(float(shares @ (nodes - mean) ** 2))
    step = float(nodes[1] - nodes[0])
    below = np.cumsum(shares) + np.diff(shares, append=0.0) / 24  # the rule of Euler and Maclaurin, as in `estimates`
    inside = (below > 1e-9) & (below < 1.0 - 1e-9)
    edges, scores = nodes[inside] + step / 2, estimates.quantiles(below[inside])
    if len(edges) < 2:
        return Estimate(mean, deviation, mean - estimates.Z * deviation, mean + estimates.Z * deviation)
    low, high = (_along(-estimates.Z, scores, edges), _along(estimates.Z, scores, edges))
    return Estimate(mean, deviation, low, high)


def _along(score: float, scores: F64, edges: F64) -> float:
    """The edge at a score, beyond the ends along the last straight line."""
    place = int(np.clip(np.searchsorted(scores, score), 1, len(scores) - 1))
    slope = (edges[place] - edges[place - 1]) / max(float(scores[place] - scores[place - 1]), 1e-12)
    return float(edges[place - 1] + slope * (score - scores[place - 1]))


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
    masses = posterior_nodes(answers, prior).ravel()
    found = []
    for rating in range(LEVELS, -LEVELS - 1, -1):
        ratios = {one: _chances_of(rating, hard, one) for one in {setting.correlation for setting, _ in prior.settings}}
        logs = np.stack([_log_ratio(*ratios[one.correlation], one.slips) for one, _ in prior.settings]).ravel()
        mean = float(masses @ logs)
        spread = sqrt(max(0.0, float(masses @ (logs - mean) ** 2)))
        order = np.argsort(logs)
        flat = masses[order]
        below = np.cumsum(flat) - flat / 2
        low, high = np.exp(np.interp(estimates.ENDS, below, logs[order]))
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
