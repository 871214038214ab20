"""Models graded answers to pairs: how likely each of seven ratings is, given a person and how hard the pair is.

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
slips that say nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import inf, sqrt
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np

from fr_core.scoring.checks import F64
from fr_training.statistics import estimates

LEVELS = 3  # ratings go from -3 to 3

CUTS = (-1.3, -0.6, -0.1, 0.1, 0.6, 1.3)
"""Of the seven ratings, for somebody of scale 1, in standard deviations of the evidence. The shape is assumed; how wide
it is, and where its middle lies, is each person's own."""

SIDE, HALF = LEVELS + 1, LEVELS + 2
"""SIDE stands for any rating above 0, and -SIDE for any below, of somebody whose sure and unsure ratings tell nothing;
HALF and -HALF for the same of somebody who is never undecided either, and divides all evidence at c."""

GUESS_RATE = 0.5  # of a pair: one of two answers

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

# Nodes: ability, criterion, and the natural logarithm of the scale. They are so near, and reach so far, that after 40
# answers means and standard deviations of the posterior are exact to 3e-4 (`tests/golden/test_graded.py`).
THETA = np.linspace(-4.8, 7.2, 41)
CRITERION = np.linspace(-1.8, 1.8, 19)
LOG_SCALE = np.linspace(-1.8, 1.4, 17)
SHAPE = (len(THETA), len(CRITERION), len(LOG_SCALE))

_FARTHEST, _PER_UNIT = 8.5, 512  # of z, and nodes of its table
_TABLE_SHARE = estimates.cdf(np.linspace(-_FARTHEST, _FARTHEST, int(2 * _FARTHEST * _PER_UNIT) + 1))
_TABLE_GAP = np.linspace(-45.0, 45.0, 9001)
_TABLE_WRONG = (1.0 - GUESS_RATE) / (1.0 + np.exp(_TABLE_GAP))
_TABLE_STRENGTH = np.array([-NormalDist().inv_cdf(wrong) for wrong in _TABLE_WRONG.tolist()], dtype=np.float64)
_HERMITE, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Rated(NamedTuple):
    """An answer to a pair."""

    mated: bool  # whether it shows one person
    b: float  # difficulty by the machine, finite
    rating: int  # from -3, surely two people, to 3, surely one


def strength(gap: F64 | float) -> F64:
    """f64[...]: m of a pair by ability less difficulty, -45 to 45 logits; at least 0."""
    return np.asarray(np.interp(gap, _TABLE_GAP, _TABLE_STRENGTH), dtype=np.float64)


def chance_of(rating: int, mean: F64 | float, width: F64 | float, criterion: F64 | float, scale: F64 | float) -> F64:
    """f64[...]: how likely a rating is of evidence N(mean, width^2) with cuts c + s t, without slips; broadcast."""
    low, high = _ends_of(rating)
    below, above = (share_below((criterion + scale * end - mean) / width) for end in (low, high))
    return np.asarray(above - below, dtype=np.float64)


def _ends_of(rating: int) -> tuple[float, float]:
    """The cuts t between which the evidence of a rating lies, or of SIDE and HALF."""
    if abs(rating) > LEVELS:
        inner = CUTS[LEVELS] if abs(rating) == SIDE else 0.0
        return (inner, inf) if rating > 0 else (-inf, -inner)
    ends = (-inf, *CUTS, inf)
    return ends[rating + LEVELS], ends[rating + LEVELS + 1]


def as_used(answers: Sequence[Rated]) -> list[Rated]:
    """The answers as far as they tell something: of somebody who always rates with one strength, the side alone.

    Somebody who says 3 or -3 to everything has no stronger evidence than others have.
    """
    used = {abs(one.rating) for one in answers}
    if len(used - {0}) > 1:
        return list(answers)
    side = SIDE if 0 in used else HALF
    return [one if one.rating == 0 else one._replace(rating=side if one.rating > 0 else -side) for one in answers]


def share_below(z: F64 | float) -> F64:
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


Nodes: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]  # f32[theta, criterion, scale]


@lru_cache(maxsize=512)  # 52 KB each; settings of one correlation share them
def node_chances(answer: Rated, correlation: float) -> Nodes:
    """f32[theta, criterion, scale]: of an answer at the nodes, without slips."""
    mean, width = evidence_of(THETA, answer.b, correlation)
    signed = (mean if answer.mated else -mean)[:, None, None]
    cuts = CRITERION[None, :, None], np.exp(LOG_SCALE)[None, None, :]
    return chance_of(answer.rating, signed, width[:, None, None], *cuts).astype(np.float32)


@lru_cache(maxsize=512)  # likewise; a block shows the same pairs to every trainee
def node_logs(answer: Rated, setting: Setting) -> Nodes:
    """f32[theta, criterion, scale]: natural logarithm of the chance of an answer at the nodes."""
    return np.log(with_slips(node_chances(answer, setting.correlation), setting.slips)).astype(np.float32)


def with_slips(chances: F64 | Nodes, slips: float) -> F64:
    """f64[...]: chances of a rating where a share of answers are slips."""
    return np.asarray((1.0 - slips) * chances + slips / (2 * LEVELS + 1), dtype=np.float64)


def log_likelihood(answers: Sequence[Rated], setting: Setting) -> F64:
    """f64[theta, criterion, scale]: of the answers at the nodes, each independent of the others given the person."""
    total = np.zeros(SHAPE)
    for one in as_used(answers):
        total += node_logs(one, setting)
    return total


def check_answers(answers: Sequence[Rated]) -> None:
    """Ratings go from -3 to 3, and difficulties are finite: ValueError otherwise."""
    if not all(-LEVELS <= one.rating <= LEVELS and np.isfinite(one.b) for one in answers):
        raise ValueError("Ratings go from -3 to 3, and difficulties are finite.")
