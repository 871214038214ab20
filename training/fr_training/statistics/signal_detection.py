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

from dataclasses import dataclass
from math import ceil, floor, isfinite, lgamma, log, sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import message
from fr_training.statistics import estimates
from fr_training.statistics.estimates import Estimate, Term, central_interval

OF_DPRIME, OF_CRITERION = (1.0, -1.0), (-0.5, -0.5)  # weights of z(H) and z(F)
TAILS = 9.0  # standard deviations of a count beyond which an outcome is left out; a share below 1e-15


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Sensitivity and bias of one person, or of one condition."""

    dprime: Estimate  # d'; 0 is guessing
    criterion: Estimate  # c; below 0 is too ready to say "same"
    hits: int  # mated pairs called "same"
    mated: int
    false_alarms: int  # non-mated pairs called "same"
    nonmated: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One condition less another, of different trials."""

    dprime: Estimate
    criterion: Estimate


@dataclass(frozen=True, slots=True)
class Expected:
    """The mean and the scatter of the log-linear estimates."""

    dprime: float  # mean of the estimates of d'
    criterion: float  # mean of the estimates of c
    dprime_sd: float  # standard deviation of the estimates of d'
    criterion_sd: float  # standard deviation of the estimates of c


def sensitivity(hits: int, mated: int, false_alarms: int, nonmated: int) -> Sensitivity:
    """d' and c by the log-linear rule, with standard errors and intervals.

    The standard error is the exact one of the estimate where the true rates are H and F, by adding up all outcomes:
    J. Miller, "The sampling distribution of d'", Perception and Psychophysics 58 (1996) 65-72. The interval is the
    equal-tailed one of the posterior under Jeffreys' prior (`fr_training.statistics.estimates`). Over people of d'
    about 1.8 and c about 0 it covers 94 to 97 of 100 true values, from 9 + 3 trials up; the normal interval of
    V. Gourevitch and E. Galanter, "A significance test for one parameter isosensitivity functions", Psychometrika 32
    (1967) 25-33, covers 97 to 99 of c.

    Raises:
        UndefinedRate: there is no mated or no non-mated pair.
        ValueError: a count is negative or larger than its total.
    """
    _check_counts(hits, mated, false_alarms, nonmated)
    z_hits, z_false = z_rate(hits, mated), z_rate(false_alarms, nonmated)
    dprime, criterion = z_hits - z_false, -(z_hits + z_false) / 2
    spread = expected(dprime, criterion, mated, nonmated)
    counts = hits, mated, false_alarms, nonmated
    return Sensitivity(
        Estimate(dprime, spread.dprime_sd, *central_interval(_terms(*OF_DPRIME, *counts))),
        Estimate(criterion, spread.criterion_sd, *central_interval(_terms(*OF_CRITERION, *counts))),
        *counts,
    )


def difference(a: Sensitivity, b: Sensitivity) -> Difference:
    """a less b, of different trials: the errors add up in squares, the interval is that of the four rates' posterior.

    The trials of a and b must be independent. Where the same pairs were judged twice, the interval is too wide as far
    as the answers go together; `fr_training.statistics.advice` allows for that.

    """
    counts_a = (a.hits, a.mated, a.false_alarms, a.nonmated)
    counts_b = (b.hits, b.mated, b.false_alarms, b.nonmated)

    def of(first: Estimate, second: Estimate, of_hits: float, of_false: float) -> Estimate:
        error = sqrt(first.standard_error**2 + second.standard_error**2)
        terms = [*_terms(of_hits, of_false, *counts_a), *_terms(-of_hits, -of_false, *counts_b)]
        return Estimate(first.value - second.value, error, *central_interval(terms))

    return Difference(of(a.dprime, b.dprime, *OF_DPRIME), of(a.criterion, b.criterion, *OF_CRITERION))


def rates_of(dprime: float, criterion: float) -> tuple[float, float]:
    """H and F of somebody whose true d' and c are these, both finite: H = Phi(d'/2 - c), F = Phi(-d'/2 - c)."""
    if not (isfinite(dprime) and isfinite(criterion)):
        raise ValueError(f"d' and c are finite, not {dprime} and {criterion}.")
    return estimates.share_below(dprime / 2 - criterion), estimates.share_below(-dprime / 2 - criterion)


def expected(dprime: float, criterion: float, mated: int, nonmated: int) -> Expected:
    """Mean and scatter of the log-linear estimates of somebody whose true d' and c are these, over all outcomes.

    Source: Miller (1996), see `sensitivity`; outcomes whose share is below 1e-15 are left out.

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


def _terms(of_hits: float, of_false: float, hits: int, mated: int, false_alarms: int, nonmated: int) -> list[Term]:
    return [Term(of_hits, hits, mated), Term(of_false, false_alarms, nonmated)]


def _check_counts(hits: int, mated: int, false_alarms: int, nonmated: int) -> None:
    for count, total in ((hits, mated), (false_alarms, nonmated)):
        if count < 0 or total < 0 or count > total:
            raise ValueError(f"{count} of {total} pairs is no share.")
        if total == 0:
            raise UndefinedRate(message("undefined.sensitivity"))
