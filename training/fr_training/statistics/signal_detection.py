"""Measures how well a person tells one person from two (d'), and how readily they say "same" (criterion c).

A hit is a mated pair that is called "same", a false alarm a non-mated pair that is called so. With the shares H and F
of them, d' = z(H) - z(F) and c = -(z(H) + z(F)) / 2: c < 0 is too ready to say "same", c > 0 too ready to say
"different". Source: D. M. Green and J. A. Swets, "Signal detection theory and psychophysics", Wiley (1966).

Shares of 0 and 1 have no z, so H = (hits + .5) / (mated + 1) and F alike, always: M. J. Hautus, "Corrections for
extreme proportions and their biasing effects on estimated values of d'", Behavior Research Methods, Instruments, and
Computers 27 (1995) 46-51. Some packages divide by n + 1.5, which is a known bug. The rule draws large d' of few trials
towards 0; `expected` says by how much, so that a study compares estimates with what they should be on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, lgamma, log, sqrt

import numpy as np

from fr_core.scoring.checks import F64, check_confidence
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, UndefinedRate
from fr_locales.messages import message
from fr_training.statistics import estimates
from fr_training.statistics.estimates import Estimate, Term, central_interval

TAILS = 9.0  # standard deviations of a count beyond which an outcome is left out; a share below 1e-15


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Sensitivity and bias of one person, or of one condition."""

    dprime: Estimate  # d'; 0 is guessing
    criterion: Estimate  # c; below 0 is too ready to say "same"
    hits: int  # mated pairs called "same"
    mated: int  # mated pairs
    false_alarms: int  # non-mated pairs called "same"
    nonmated: int  # non-mated pairs


@dataclass(frozen=True, slots=True)
class Difference:
    """One condition less another, of different trials."""

    dprime: Estimate  # of d'
    criterion: Estimate  # of c


@dataclass(frozen=True, slots=True)
class Expected:
    """The mean and the scatter of the log-linear estimates."""

    dprime: float  # mean of the estimates of d'
    criterion: float  # mean of the estimates of c
    dprime_sd: float  # standard deviation of the estimates of d'
    criterion_sd: float  # standard deviation of the estimates of c


def sensitivity(
    hits: int, mated: int, false_alarms: int, nonmated: int, confidence: float = DEFAULT_CONFIDENCE
) -> Sensitivity:
    """d' and c by the log-linear rule, with standard errors and intervals.

    The standard error is the exact one of the estimate where the true rates are H and F, by adding up all outcomes:
    J. Miller, "The sampling distribution of d'", Perception and Psychophysics 58 (1996) 65-72. The interval is the
    equal-tailed one of the posterior under Jeffreys' prior (`fr_training.statistics.estimates`). Over people of d'
    about 1.8 and c about 0 it covers 94 to 97 of 100 true values, from 9 + 3 trials up; the normal interval of
    V. Gourevitch and E. Galanter, "A significance test for one parameter isosensitivity functions", Psychometrika 32
    (1967) 25-33, covers 97 to 99 of c.

    Args:
        hits: mated pairs called "same".
        mated: mated pairs.
        false_alarms: non-mated pairs called "same".
        nonmated: non-mated pairs.
        confidence: of the intervals, in (0, 1).

    Raises:
        UndefinedRate: there is no mated or no non-mated pair.
        ValueError: a count is negative or larger than its total, or the confidence is outside (0, 1).
    """
    _check_counts(hits, mated, false_alarms, nonmated)
    check_confidence(confidence)
    z_hits, z_false = z_rate(hits, mated), z_rate(false_alarms, nonmated)
    dprime, criterion = z_hits - z_false, -(z_hits + z_false) / 2
    spread = expected(dprime, criterion, mated, nonmated)
    return Sensitivity(
        _estimate(dprime, spread.dprime_sd, _dprime_terms(hits, mated, false_alarms, nonmated), confidence),
        _estimate(criterion, spread.criterion_sd, _criterion_terms(hits, mated, false_alarms, nonmated), confidence),
        hits,
        mated,
        false_alarms,
        nonmated,
    )


def difference(a: Sensitivity, b: Sensitivity) -> Difference:
    """a less b, of different trials: the errors add up in squares, the interval is that of the four rates' posterior.

    The trials of a and b must be independent. Where the same pairs were judged twice, the interval is too wide as far
    as the answers go together; `fr_training.statistics.advice` allows for that.

    Raises:
        ValueError: the two have intervals of different confidence.
    """
    confidence = a.dprime.confidence
    if b.dprime.confidence != confidence:
        raise ValueError("A difference needs two figures of the same confidence.")
    counts_a = (a.hits, a.mated, a.false_alarms, a.nonmated)
    counts_b = (b.hits, b.mated, b.false_alarms, b.nonmated)

    def of(first: Estimate, second: Estimate, terms: Sequence[Term]) -> Estimate:
        error = sqrt(first.standard_error**2 + second.standard_error**2)
        return _estimate(first.value - second.value, error, terms, confidence)

    return Difference(
        of(a.dprime, b.dprime, [*_dprime_terms(*counts_a), *_minus(_dprime_terms(*counts_b))]),
        of(a.criterion, b.criterion, [*_criterion_terms(*counts_a), *_minus(_criterion_terms(*counts_b))]),
    )


def rates_of(dprime: float, criterion: float) -> tuple[float, float]:
    """H and F of somebody whose true d' and c are these: H = Phi(d'/2 - c), F = Phi(-d'/2 - c).

    Raises:
        ValueError: one of them is not finite.
    """
    if not (isfinite(dprime) and isfinite(criterion)):
        raise ValueError(f"d' and c are finite, not {dprime} and {criterion}.")
    return estimates.share_below(dprime / 2 - criterion), estimates.share_below(-dprime / 2 - criterion)


def expected(dprime: float, criterion: float, mated: int, nonmated: int) -> Expected:
    """Mean and scatter of the log-linear estimates of somebody whose true d' and c are these, over all outcomes.

    Source: Miller (1996), see `sensitivity`; outcomes whose share is below 1e-15 are left out.

    Args:
        dprime: true d', finite.
        criterion: true c, finite.
        mated: mated pairs shown.
        nonmated: non-mated pairs shown.

    Raises:
        UndefinedRate: there is no mated or no non-mated pair.
        ValueError: a number of pairs is negative, or d' or c is not finite.
    """
    _check_counts(0, mated, 0, nonmated)
    hit_rate, false_rate = rates_of(dprime, criterion)
    mean_hits, variance_hits = _z_moments(hit_rate, mated)
    mean_false, variance_false = _z_moments(false_rate, nonmated)
    spread = sqrt(variance_hits + variance_false)
    return Expected(mean_hits - mean_false, -(mean_hits + mean_false) / 2, spread, spread / 2)


def prevalence_ppv(hit_rate: float, false_rate: float, prevalence: float) -> float:
    """The share of mated pairs among those called "same", in [0, 1], where mated pairs have this share of all.

    Source: T. Bayes's theorem; it is the positive predictive value of J. T. Vecchio, "Predictive value of a single
    diagnostic test in unselected populations", New England Journal of Medicine 274 (1966) 1171-1173.

    Args:
        hit_rate: H, in [0, 1].
        false_rate: F, in [0, 1].
        prevalence: share of mated pairs, in [0, 1].

    Raises:
        UndefinedRate: at these rates nothing is called "same".
        ValueError: a number is outside [0, 1].
    """
    for share in (hit_rate, false_rate, prevalence):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"Rates and a prevalence lie in [0, 1], and not at {share}.")
    right, wrong = hit_rate * prevalence, false_rate * (1.0 - prevalence)
    if right + wrong == 0.0:
        raise UndefinedRate(message("undefined.nothing_called_same"))
    return right / (right + wrong)


def z_rate(count: int, total: int) -> float:
    """z of (count + .5) / (total + 1), Hautus (1995); 0 <= count <= total."""
    return estimates.z_of((count + 0.5) / (total + 1))


def _z_moments(rate: float, total: int) -> tuple[float, float]:
    """Mean and variance of `z_rate` where the count is binomial."""
    middle, spread = rate * total, sqrt(total * rate * (1.0 - rate))
    low, high = max(0, floor(middle - TAILS * spread - TAILS)), min(total, ceil(middle + TAILS * spread + TAILS))
    counts = np.arange(low, high + 1)
    shares = _binomial(counts, total, rate)
    z = estimates.quantiles((counts + 0.5) / (total + 1))
    mean = float(shares @ z)
    return mean, float(shares @ (z - mean) ** 2)


def _binomial(counts: np.ndarray[tuple[int], np.dtype[np.int64]], total: int, rate: float) -> F64:
    """f64[n]: how likely each count is, relative to all of them together."""
    if rate in (0.0, 1.0):  # of a d' that is huge: a rate rounds to the end, and only one count is left
        return np.asarray(counts == round(rate * total), dtype=np.float64)
    ways = np.array([lgamma(total + 1) - lgamma(k + 1) - lgamma(total - k + 1) for k in counts.tolist()])
    logs = ways + counts * log(rate) + (total - counts) * np.log1p(-rate)
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _dprime_terms(hits: int, mated: int, false_alarms: int, nonmated: int) -> list[Term]:
    return [Term(1.0, hits, mated), Term(-1.0, false_alarms, nonmated)]


def _criterion_terms(hits: int, mated: int, false_alarms: int, nonmated: int) -> list[Term]:
    return [Term(-0.5, hits, mated), Term(-0.5, false_alarms, nonmated)]


def _minus(terms: Sequence[Term]) -> list[Term]:
    return [Term(-term.weight, term.count, term.total) for term in terms]


def _estimate(value: float, error: float, terms: Sequence[Term], confidence: float) -> Estimate:
    low, high = central_interval(terms, confidence)
    return Estimate(value, error, low, high, confidence)


def _check_counts(hits: int, mated: int, false_alarms: int, nonmated: int) -> None:
    for count, total in ((hits, mated), (false_alarms, nonmated)):
        if count < 0 or total < 0 or count > total:
            raise ValueError(f"{count} of {total} pairs is no share.")
        if total == 0:
            raise UndefinedRate(message("undefined.sensitivity"))
