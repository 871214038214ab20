"""Estimates with intervals, differences of rates, and the normal and the beta distribution behind them.

The normal distribution, its density and its quantiles; a rate of one group less that of another, with Newcombe's
interval; and the regularised incomplete beta function, by its continued fraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, lgamma, log, log1p, sqrt
from statistics import NormalDist

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate, rate


def cdf(z: F64) -> F64:
    """f64[n]: the share of a standard normal distribution below each z, to double precision in the lower tail."""
    return np.array([0.5 * erfc(-value / sqrt(2.0)) for value in z.tolist()], dtype=np.float64)


def log_cdf(z: F64) -> F64:
    """f64[n]: the natural logarithm of `cdf`; z >= -37, since below the share is no double any more."""
    return np.asarray(np.log(cdf(z)), dtype=np.float64)


def quantiles(shares: F64) -> F64:
    """f64[n]: the z below which each share lies; shares in (0, 1)."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(share) for share in shares.tolist()], dtype=np.float64)


def z_of(share: float) -> float:
    """The z below which a share in (0, 1) of a standard normal distribution lies."""
    return NormalDist().inv_cdf(share)


def share_below(z: float) -> float:
    """The share of a standard normal distribution below z."""
    return 0.5 * erfc(-z / sqrt(2.0))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its uncertainty, in the unit of the figure.

    Attributes:
        value: the figure.
        standard_error: at least 0; how far the figure scatters around its own mean when the trials are done again, or
            the standard deviation of its posterior where the function says so.
        low: lower end of the interval.
        high: upper end.
        confidence: of the interval, two-sided, in (0, 1).
    """

    value: float
    standard_error: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class RateDifference:
    """One share less another.

    Attributes:
        first: with its Wilson interval.
        second: likewise.
        value: first - second, in [-1, 1].
        low: lower end of the interval of the difference.
        high: upper end.
        confidence: of the intervals, in (0, 1).
    """

    first: Rate
    second: Rate
    value: float
    low: float
    high: float
    confidence: float


def difference_of_rates(
    count_first: int, total_first: int, count_second: int, total_second: int, confidence: float = DEFAULT_CONFIDENCE
) -> RateDifference:
    """The difference of two independent shares, with the interval made of their two Wilson intervals.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison of
    eleven methods", Statistics in Medicine 17 (1998) 873-890, method 10.

    Args:
        count_first: trials that the first share counts.
        total_first: all its trials.
        count_second: trials that the second share counts.
        total_second: all its trials, none of which is of the first.
        confidence: of the intervals, in (0, 1).

    Raises:
        UndefinedRate: one of them has no trial.
        ValueError: a count is negative or larger than its total, or the confidence is outside (0, 1).
    """
    first, second = rate(count_first, total_first, confidence), rate(count_second, total_second, confidence)
    value = first.value - second.value
    below = sqrt((first.value - first.interval.low) ** 2 + (second.interval.high - second.value) ** 2)
    above = sqrt((first.interval.high - first.value) ** 2 + (second.value - second.interval.low) ** 2)
    return RateDifference(first, second, value, value - below, value + above, confidence)


MOST_TERMS = 10_000  # of the continued fraction; it takes some square root of the larger parameter
SMALLEST = 1e-300
PRECISION = 1e-15
HALVINGS = 200


def beta_below(x: float, a: float, b: float) -> float:
    """The share of the distribution Beta(a, b) below x, the regularised incomplete beta function, in [0, 1].

    It is the continued fraction of equation 6.4.5 of W. H. Press, S. A. Teukolsky, W. T. Vetterling and B. P. Flannery,
    "Numerical recipes", 3rd edition, Cambridge University Press (2007), by the method of Lentz.

    Args:
        x: in [0, 1].
        a: above 0.
        b: above 0.

    Raises:
        ValueError: a number is out of its range.
    """
    if not (0.0 <= x <= 1.0 and a > 0.0 and b > 0.0):
        raise ValueError(f"Beta({a}, {b}) has nothing at {x}.")
    if x in (0.0, 1.0):
        return x
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1.0 - x, b, a) / b


def f_quantile(share: float, above: float, below: float) -> float:
    """The ratio of variances below which this share of an F distribution lies.

    Args:
        share: in (0, 1).
        above: degrees of freedom of the numerator, above 0.
        below: degrees of freedom of the denominator, above 0.

    Raises:
        ValueError: a number is out of its range.
    """
    if not (0.0 < share < 1.0 and above > 0.0 and below > 0.0):
        raise ValueError(f"F({above}, {below}) has no quantile at {share}.")
    low, high = -700.0, 700.0  # of the logarithm of x / (1 - x), where x is of Beta(above / 2, below / 2)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        x = 1.0 / (1.0 + exp(-middle))
        low, high = (middle, high) if beta_below(x, above / 2, below / 2) < share else (low, middle)
    return below / above * exp((low + high) / 2)


def _fraction(x: float, a: float, b: float) -> float:
    c = 1.0
    d = _off_zero(1.0 - (a + b) * x / (a + 1.0))
    found = 1.0 / d
    d = found
    for m in range(1, MOST_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _off_zero(1.0 + term * d)
            c = _off_zero(1.0 + term / c)
            found *= c * d
        if abs(c * d - 1.0) < PRECISION:
            return found
    raise ValueError(f"Beta({a}, {b}) is too narrow to add up at {x}.")


def _off_zero(value: float) -> float:
    return value if abs(value) > SMALLEST else SMALLEST
