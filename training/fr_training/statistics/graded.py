"""Estimates a person's ability, criterion and use of the rating scale from graded answers to pairs.

It is signal detection with seven answers, an ordered probit model: D. D. Dorfman and E. Alf, "Maximum-likelihood
estimation of parameters of signal-detection theory and determination of confidence intervals: rating-method data",
Journal of Mathematical Psychology 6 (1969) 487-496; for examiners' words: S. Aggadi, B. Moreton and T. Busey, Journal
of Forensic Sciences (2026), 10.1111/1556-4029.70265. A pair gives evidence N(+m, 1) if it shows one person, N(-m, 1)
if it shows two. The rating is the place of the evidence among six cuts, c + s t: c is the criterion, s the person's
scale, and t the cuts of `CUTS`. How far the pair stands out is m = z(P), P = g + (1 - g) s(theta - b), g = 1/2: an
unbiased person who must decide is right with the chance of `item_response`, so that abilities of right and wrong
answers and of ratings are one scale.

A machine's difficulty is a guess of how hard a pair is for people. Theirs is taken for N(r b, 1 - r^2), where r is the
correlation of both. Its uncertainty makes the evidence wider, and the interval of an ability with it. A few answers are
slips that say nothing. Where there is a class, `graded_class` learns r, the share of slips and the prior from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import message
from fr_training.statistics import estimates
from fr_training.statistics.estimates import Estimate

LEVELS = 3
"""Ratings go from -3 to 3."""

CUTS = (-1.3, -0.6, -0.1, 0.1, 0.6, 1.3)
"""Of the seven ratings, for somebody of scale 1, in standard deviations of the evidence. The shape is assumed; how wide
it is, and where its middle lies, is each person's own."""

SIDE = LEVELS + 1
"""Stands for any rating above 0, and -SIDE for any below, of somebody whose sure and unsure ratings tell nothing."""

GUESS_RATE = 0.5
"""Of a pair: one of two answers."""

SLIPS = (0.002, 0.02, 0.06)
"""Shares of answers that may be slips, spread evenly over the ratings, each as likely as another beforehand: one wild
answer must not outweigh forty others."""

CORRELATIONS = (0.0, 0.3, 0.6, 0.85, 1.0)
"""Of the machine's difficulty with that for people, each as likely as another before a class has answered."""


class Setting(NamedTuple):
    """The parameters that all people of a class have in common."""

    correlation: float  # of the machine's difficulty with that for people
    slips: float  # share of answers that say nothing


AT_ITS_WORD = Setting(1.0, SLIPS[0])
"""The machine's difficulty is that for people, and hardly an answer slips: how the next pair is chosen."""

# Nodes: ability, criterion, and the natural logarithm of the scale.
THETA = np.linspace(-4.8, 7.2, 41)
CRITERION = np.linspace(-1.8, 1.8, 13)
LOG_SCALE = np.linspace(-1.5, 1.0, 11)
SHAPE = (len(THETA), len(CRITERION), len(LOG_SCALE))

_FARTHEST, _PER_UNIT = 8.5, 512  # of z, and nodes of its table
_TABLE_SHARE = estimates.cdf(np.linspace(-_FARTHEST, _FARTHEST, int(2 * _FARTHEST * _PER_UNIT) + 1))
_TABLE_GAP = np.linspace(-45.0, 45.0, 9001)
_TABLE_STRENGTH = np.array([-NormalDist().inv_cdf(0.5 / (1.0 + np.exp(gap))) for gap in _TABLE_GAP], dtype=np.float64)
_HERMITE, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Rated(NamedTuple):
    """An answer to a pair."""

    mated: bool  # whether it shows one person
    b: float  # difficulty by the machine, finite
    rating: int  # from -3, surely two people, to 3, surely one


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
    # What is held for possible, and how likely each is; the shares add up to 1.
    settings: tuple[tuple[Setting, float], ...] = tuple(
        (Setting(correlation, slips), 1.0 / len(CORRELATIONS) / len(SLIPS))
        for correlation in CORRELATIONS
        for slips in SLIPS
    )


UNKNOWN_PEOPLE = Prior()
"""The prior of somebody without a class."""


@dataclass(frozen=True, slots=True)
class Graded:
    """The posterior of a person: means, standard deviations, and equal-tailed 95 % intervals."""

    theta: Estimate  # ability, logits on the scale of the items
    criterion: Estimate  # c; above 0 says "different" more readily
    scale: Estimate  # s; above 1 keeps sure ratings for stronger evidence than most people do


@dataclass(frozen=True, slots=True)
class Weight:
    """The likelihood ratio of a rating, as the model of a person gives it for the pairs that were rated."""

    rating: int
    ratio: Estimate  # median of the posterior; the standard error is that of its natural logarithm


def strength(gap: F64 | float) -> F64:
    """f64[...]: m of a pair by ability less difficulty, -45 to 45 logits; at least 0."""
    return np.asarray(np.interp(gap, _TABLE_GAP, _TABLE_STRENGTH), dtype=np.float64)


def chance_of(rating: int, mean: F64 | float, width: F64 | float, criterion: F64 | float, scale: F64 | float) -> F64:
    """f64[...]: how likely a rating is of evidence N(mean, width^2) with cuts c + s t, without slips; broadcast."""
    low, high = _ends_of(rating)
    below, above = (_share_below((criterion + scale * end - mean) / width) for end in (low, high))
    return np.asarray(above - below, dtype=np.float64)


def _ends_of(rating: int) -> tuple[float, float]:
    """The cuts t between which the evidence of a rating lies, or of SIDE and -SIDE."""
    if abs(rating) == SIDE:
        return (CUTS[LEVELS], inf) if rating > 0 else (-inf, CUTS[LEVELS - 1])
    ends = (-inf, *CUTS, inf)
    return ends[rating + LEVELS], ends[rating + LEVELS + 1]


def as_used(answers: Sequence[Rated]) -> list[Rated]:
    """The answers as far as they tell something: of somebody who always rates with one strength, the side alone.

    Somebody who says 3 or -3 to everything has no stronger evidence than others have.
    """
    used = {abs(one.rating) for one in answers if one.rating}
    if len(used) > 1:
        return list(answers)
    return [one if one.rating == 0 else one._replace(rating=SIDE if one.rating > 0 else -SIDE) for one in answers]


def _share_below(z: F64 | float) -> F64:
    """f64[...]: of a standard normal distribution, within 1e-7, by a table; infinity is an end."""
    place = np.clip((np.asarray(z) + _FARTHEST) * _PER_UNIT, 0.0, len(_TABLE_SHARE) - 1.001)
    node = place.astype(np.int32)
    low = _TABLE_SHARE[node]
    return np.asarray(low + (place - node) * (_TABLE_SHARE[node + 1] - low), dtype=np.float64)


def evidence_of(theta: F64, b: float, correlation: float) -> tuple[F64, F64]:
    """f64[...] each: mean and standard deviation of the evidence that a mated pair gives to people of these abilities.

    `b` is the machine's; the difficulty for people is N(r b, 1 - r^2).
    """
    spread = sqrt(1.0 - correlation**2)
    drawn = strength(np.asarray(theta)[..., None] - correlation * b - spread * _HERMITE)
    mean = drawn @ _WEIGHTS
    return mean, np.sqrt(1.0 + np.maximum(drawn**2 @ _WEIGHTS - mean**2, 0.0))


Nodes: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
"""f32[theta, criterion, scale]."""


@lru_cache(maxsize=1024)  # 19 KB each; settings of one correlation share them
def _chances(answer: Rated, correlation: float) -> Nodes:
    mean, width = evidence_of(THETA, answer.b, correlation)
    signed = (mean if answer.mated else -mean)[:, None, None]
    cuts = CRITERION[None, :, None], np.exp(LOG_SCALE)[None, None, :]
    return chance_of(answer.rating, signed, width[:, None, None], *cuts).astype(np.float32)


@lru_cache(maxsize=1024)  # likewise; a block shows the same pairs to every trainee
def _log_chances(answer: Rated, setting: Setting) -> Nodes:
    return np.log(_with_slips(_chances(answer, setting.correlation), setting.slips)).astype(np.float32)


def _with_slips(chances: F64 | Nodes, slips: float) -> F64:
    return np.asarray((1.0 - slips) * chances + slips / (2 * LEVELS + 1), dtype=np.float64)


@lru_cache(maxsize=512)
def _right(b: float) -> Nodes:
    """The chance of a right answer to a pair of either truth, one as likely as the other."""
    answers = (Rated(mated, b, rating if mated else -rating) for mated in (True, False) for rating in (1, 2, 3))
    return (sum((_chances(one, 1.0) for one in answers), np.zeros(SHAPE)) / 2).astype(np.float32)


def log_likelihood(answers: Sequence[Rated], setting: Setting) -> F64:
    """f64[theta, criterion, scale]: of the answers at the nodes, each independent of the others given the person."""
    total = np.zeros(SHAPE)
    for one in as_used(answers):
        total += _log_chances(one, setting)
    return total


def posterior(answers: Sequence[Rated], prior: Prior = UNKNOWN_PEOPLE) -> Graded:
    """The ability, criterion and scale of a person; without an answer, the prior comes out.

    The mean is drawn towards the prior's; the interval covers the truth as often as it says on average over people who
    are as the prior says.

    Raises:
        ValueError: a rating or a difficulty is out of its range.
    """
    check_answers(answers)
    return summary(_nodes(answers, prior).sum(axis=0))


def right_at(answers: Sequence[Rated], b: F64, prior: Prior = UNKNOWN_PEOPLE) -> F64:
    """f64[n]: the chance that the person has a pair of each difficulty right, one truth as likely as the other.

    It is that of the mean ability, and takes the machine at its word, as the choice of the next pair does; the
    undecided are not right.

    Raises:
        ValueError: a rating or a difficulty is out of its range.
    """
    check_answers(answers)
    logs = log_likelihood(answers, AT_ITS_WORD) + log_prior(prior)
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    theta = float(shares.sum(axis=(1, 2)) @ THETA)
    place = min(max(float(np.interp(theta, THETA, np.arange(len(THETA)))), 0.0), len(THETA) - 1.001)
    node, beyond = int(place), place - int(place)
    used = shares.sum(axis=0)
    tables = (_right(one) for one in b.tolist())
    return np.array(
        [float(((1.0 - beyond) * one[node] + beyond * one[node + 1]).ravel() @ used.ravel()) for one in tables]
    )


def theta_sds(answers: Sequence[Rated], prior: Prior = UNKNOWN_PEOPLE) -> F64:
    """f64[n]: the standard deviation of the posterior ability after each of n answers, the machine at its word."""
    check_answers(answers)
    logs, found = log_prior(prior), []
    for one in as_used(answers):
        logs = logs + _log_chances(one, AT_ITS_WORD)
        shares = np.exp(logs - logs.max()).sum(axis=(1, 2))
        shares /= shares.sum()
        found.append(sqrt(float(shares @ (THETA - shares @ THETA) ** 2)))
    return np.array(found, dtype=np.float64)


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
    masses = _nodes(answers, prior)
    found = []
    for rating in range(LEVELS, -LEVELS - 1, -1):
        ratios = {one: _chances_of(rating, hard, one) for one in {setting.correlation for setting, _ in prior.settings}}
        logs = np.stack([_log_ratio(*ratios[one.correlation], one.slips) for one, _ in prior.settings]).ravel()
        order = np.argsort(logs, kind="stable")
        flat = masses.ravel()[order]
        below = np.cumsum(flat) - flat / 2
        low, middle, high = np.interp((estimates.ENDS[0], 0.5, estimates.ENDS[1]), below, logs[order])
        mean = float(flat @ logs[order])
        spread = sqrt(max(0.0, float(flat @ (logs[order] - mean) ** 2)))
        found.append(Weight(rating, Estimate(float(np.exp(middle)), spread, float(np.exp(low)), float(np.exp(high)))))
    return tuple(found)


_PARTS = 8
"""Of the pairs of a truth, by difficulty, whose means stand for them in a likelihood ratio."""


def _parts(b: Sequence[float]) -> list[tuple[float, float]]:
    """Mean difficulties of equal parts, and the share of each."""
    parts = [one for one in np.array_split(np.sort(np.array(b)), _PARTS) if len(one)]
    return [(float(one.mean()), len(one) / len(b)) for one in parts]


def _chances_of(rating: int, hard: Sequence[Sequence[tuple[float, float]]], correlation: float) -> tuple[F64, F64]:
    """The chances of a rating to pairs of one person, and to pairs of two."""

    def mean(mated: bool, parts: Sequence[tuple[float, float]]) -> F64:
        chances = (share * _chances(Rated(mated, b, rating), correlation) for b, share in parts)
        return np.asarray(sum(chances, np.zeros(SHAPE)), dtype=np.float64)

    same, different = hard
    return mean(True, same), mean(False, different)


def _log_ratio(same: F64, different: F64, slips: float) -> F64:
    return np.asarray(np.log(_with_slips(same, slips)) - np.log(_with_slips(different, slips)), dtype=np.float64)


def _nodes(answers: Sequence[Rated], prior: Prior) -> F64:
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
    parts = (
        -(((nodes - normal.mean) / normal.sd) ** 2) / 2
        for nodes, normal in ((THETA, theta), (CRITERION, prior.criterion), (LOG_SCALE, prior.log_scale))
    )
    of_theta, of_criterion, of_scale = ((one - np.log(np.exp(one).sum())) for one in parts)
    return np.asarray(of_theta[:, None, None] + of_criterion[None, :, None] + of_scale[None, None, :], dtype=np.float64)


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


def check_answers(answers: Sequence[Rated]) -> None:
    """Ratings go from -3 to 3, and difficulties are finite: ValueError otherwise."""
    if not all(-LEVELS <= one.rating <= LEVELS and np.isfinite(one.b) for one in answers):
        raise ValueError("Ratings go from -3 to 3, and difficulties are finite.")
