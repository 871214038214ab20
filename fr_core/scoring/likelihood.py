"""Measures stated strengths of evidence: the cost of likelihood ratios and of probabilities, and their ceiling.

A likelihood ratio (LR) says how many times likelier a finding is if two photos show one person than if they show two.
Here it is given as its decimal logarithm, so that no strength overflows. "Mated" means two photos of one person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.pav import pool, runs
from fr_core.types import I64
from fr_locales.messages import message

LN_10 = log(10.0)


@dataclass(frozen=True, slots=True)
class LevelRatio:
    """The likelihood ratio that the answers at one level of a rating scale have earned."""

    level: int
    mated: int  # mated trials that were rated so
    nonmated: int  # non-mated trials that were rated so
    ratio: float  # > 0, not a logarithm


def cllr(mated: F64, nonmated: F64) -> float:
    """The log-likelihood-ratio cost, in bits: 0 is perfect, 1 says as much as no evidence, more misleads.

    It is 1/2 [mean log2(1 + 1/LR) of mated + mean log2(1 + LR) of non-mated comparisons]. Source: N. Brümmer and
    J. du Preez, "Application-independent evaluation of speaker detection", Computer Speech and Language 20 (2006).

    Args:
        mated: f64[n], finite log10 LRs of mated comparisons.
        nonmated: f64[m], finite log10 LRs of non-mated comparisons.

    Raises `UndefinedRate`: n or m is 0; `ValueError`: shape or dtype differs from the above, or a value is not finite.
    """
    check_both(mated, nonmated)
    of_mated = np.logaddexp(0.0, -mated * LN_10).mean()
    of_nonmated = np.logaddexp(0.0, nonmated * LN_10).mean()
    return float(of_mated + of_nonmated) / (2 * log(2.0))


def min_cllr(mated: F64, nonmated: F64) -> float:
    """The least cost that any rising calibration of these very values reaches, in bits, in [0, 1].

    It depends on their order alone, so that similarities serve as well as LRs. Source: as for `cllr`; the best
    calibration is that of pooled adjacent violators, see `fr_core.scoring.pav`.

    `mated`: f64[n], finite, of mated comparisons; `nonmated`: f64[m], finite, of non-mated comparisons.

    Raises `UndefinedRate`: n or m is 0; `ValueError`: shape or dtype differs from the above, or a value is not finite.
    """
    check_both(mated, nonmated)
    found = runs(mated, nonmated)
    first = pool(found.mated, found.nonmated)
    mates = np.add.reduceat(found.mated, first) / len(mated)
    others = np.add.reduceat(found.nonmated, first) / len(nonmated)
    # A block without mated comparisons has none to charge, whatever its LR, and the other way round.
    of_mated = mates[mates > 0] @ np.log2(1 + others[mates > 0] / mates[mates > 0])
    of_nonmated = others[others > 0] @ np.log2(1 + mates[others > 0] / others[others > 0])
    return float(of_mated + of_nonmated) / 2


def brier(probabilities: F64, mated: Bools) -> float:
    """The mean squared distance of the stated probabilities from what was true, in [0, 1].

    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950)
    1-3, in the form for two outcomes, half of his.

    `probabilities`: f64[n], in [0, 1], that the comparison is mated; `mated`: bool[n].

    Raises `UndefinedRate`: n is 0; `ValueError`: shape or dtype differs from the above, or a probability is not in [0,
    1].
    """
    _check_probabilities(probabilities, mated)
    return float(((probabilities - mated) ** 2).mean())


def log_loss(probabilities: F64, mated: Bools) -> float:
    """The mean of -ln(probability of what was true), in nats, >= 0.

    Source: I. J. Good, "Rational decisions", Journal of the Royal Statistical Society B 14 (1952) 107-114. Arguments
    and errors are those of `brier`.

    Raises `UndefinedRate`: what was true had probability 0 somewhere, so that the loss has no finite value.
    """
    _check_probabilities(probabilities, mated)
    of_truth = np.where(mated, probabilities, 1.0 - probabilities)
    if not of_truth.all():
        raise UndefinedRate(message("undefined.core.log_loss_certainty_wrong"))
    return -float(np.log(of_truth).mean())


def expected_calibration_error(probabilities: F64, mated: Bools, bins: int = 5) -> float:
    """Return how far stated probabilities are from shares: the mean of |mean probability - share mated| over bins,
    in [0, 1].

    The bins divide [0, 1] equally, hold their lower end and weigh by their comparisons. Source: M. P. Naeini,
    G. F. Cooper and M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI (2015).
    The probabilities must mean the share of mated comparisons that there is; for likelihood ratios, which know none,
    there is `lr_calibration_error`. Arguments and errors are those of `brier`; bins >= 1.
    """
    _check_probabilities(probabilities, mated)
    return _binned_error(probabilities, mated, np.full(len(probabilities), 1 / len(probabilities)), bins)


def lr_calibration_error(mated: F64, nonmated: F64, bins: int = 5) -> float:
    """The expected calibration error of the probabilities that likelihood ratios give at even odds, in [0, 1].

    Even odds means that mated comparisons weigh one half together, and so do non-mated ones, however many there are.
    Without these weights, perfect ratios would look wrong wherever there are not equally many of both.

    Args:
        mated: f64[n], finite log10 LRs of mated comparisons.
        nonmated: f64[m], finite log10 LRs of non-mated comparisons.
        bins: at least 1, as of `expected_calibration_error`.

    Raises `UndefinedRate`: n or m is 0; `ValueError`: shape or dtype differs from the above, a value is not finite, or
    there is no bin.
    """
    check_both(mated, nonmated)
    probabilities = 0.5 + 0.5 * np.tanh(np.concatenate([mated, nonmated]) * (LN_10 / 2))  # LR / (LR + 1)
    truth = np.repeat([True, False], [len(mated), len(nonmated)])
    weights = np.repeat([0.5 / len(mated), 0.5 / len(nonmated)], [len(mated), len(nonmated)])
    return _binned_error(probabilities, truth, weights, bins)


def level_ratios(mated: I64, nonmated: I64, levels: Sequence[int]) -> tuple[LevelRatio, ...]:
    """The likelihood ratio of each level of a rating scale, from trials with known answers, in the order of `levels`.

    It is (n + .5) / (N + levels/2) of mated over the same of non-mated trials: half a trial is added to each level, so
    that an unused level has a ratio too. Source: H. Jeffreys, "An invariant form for the prior probability in
    estimation problems", Proceedings of the Royal Society A 186 (1946) 453-461, whose prior adds the halves.

    Args:
        mated: i64[n], the level that each mated trial was given.
        nonmated: i64[m], the same of non-mated trials.
        levels: all levels of the scale, each once, at least two.

    Raises `UndefinedRate`: n or m is 0; `ValueError`: a rating is not one of the levels, or a level comes twice.
    """
    if len(set(levels)) != len(levels) or len(levels) < 2:
        raise ValueError("A rating scale has at least two levels, each once.")
    if not np.isin(np.concatenate([mated, nonmated]), np.array(levels)).all():
        raise ValueError("A rating is not one of the levels of the scale.")
    _check_some(len(mated), len(nonmated))
    counts = [(level, int((mated == level).sum()), int((nonmated == level).sum())) for level in levels]
    share = (len(nonmated) + len(levels) / 2) / (len(mated) + len(levels) / 2)
    return tuple(LevelRatio(level, m, n, (m + 0.5) / (n + 0.5) * share) for level, m, n in counts)


def ratio_ceiling(mated: int, nonmated: int, levels: int = 7) -> float:
    """The largest ratio that `level_ratios` can give: all mated trials at one level and no other trial there.

    Words that claim more than this claim more than the trials can show.

    `mated`: mated trials, at least 1; `nonmated`: non-mated trials, at least 1; `levels`: of the scale, at least 2.

    Raises `UndefinedRate`: there is no mated or no non-mated trial; `ValueError`: fewer than two levels, or a number of
    trials is negative.
    """
    if levels < 2 or mated < 0 or nonmated < 0:
        raise ValueError("A rating scale has at least two levels, and trials are counted from 0.")
    _check_some(mated, nonmated)
    return (mated + 0.5) / (mated + levels / 2) * (nonmated + levels / 2) / 0.5


def check_both(mated: F64, nonmated: F64) -> None:
    """Both are f64[n], finite, and not empty: ValueError or, if empty, UndefinedRate otherwise."""
    for values in (mated, nonmated):
        if values.ndim != 1 or values.dtype != np.float64:
            raise ValueError(
                f"Similarities, and strengths of evidence, are f64[n], not {values.dtype}{list(values.shape)}."
            )
        if not np.isfinite(values).all():
            raise ValueError("A similarity, or a strength of evidence, is not a finite number.")
    _check_some(len(mated), len(nonmated))


def _binned_error(probabilities: F64, mated: Bools, weights: F64, bins: int) -> float:
    """The sum over bins of |weighted probabilities - weight of mated|; the weights sum to 1."""
    if bins < 1:
        raise ValueError(f"There must be at least one bin, not {bins}.")
    ends = np.arange(1, bins) / bins
    place = np.searchsorted(ends, probabilities, side="right")
    excess = np.bincount(place, weights=weights * (probabilities - mated), minlength=bins)
    return float(np.abs(excess).sum())


def _check_some(mated: int, nonmated: int) -> None:
    if mated == 0 or nonmated == 0:
        raise UndefinedRate(message("undefined.core.strength_evidence_needs_least"))


def _check_probabilities(probabilities: F64, mated: Bools) -> None:
    if probabilities.ndim != 1 or probabilities.dtype != np.float64:
        raise ValueError(f"Probabilities are f64[n], not {probabilities.dtype}{list(probabilities.shape)}.")
    if not ((probabilities >= 0.0) & (probabilities <= 1.0)).all():
        raise ValueError("A probability does not lie in [0, 1].")
    if mated.shape != probabilities.shape or mated.dtype != np.bool_:
        found = f"{mated.dtype}{list(mated.shape)}"
        raise ValueError(f"{len(probabilities)} probabilities need as many booleans, not {found}.")
    if not len(probabilities):
        raise UndefinedRate(message("undefined.core.cost_no_probabilities_undefined"))
