"""Computes estimates with intervals, differences of rates, and the distributions behind them.

It computes the posterior of sums of z-transformed rates under Jeffreys' prior, without random draws. d', the
criterion and their differences are all sums of w z(rate) over independent rates. Each rate has the posterior Beta(count
+ 1/2, total - count + 1/2), and the sum's posterior is the convolution of theirs, here on a grid. Its mean rate is
(count + 1/2) / (total + 1), the log-linear rule, so that figure and interval come from one model. Sources: H. Jeffreys,
"An invariant form for the prior probability in estimation problems", Proceedings of the Royal Society A 186 (1946)
453-461; the coverage of such intervals: L. D. Brown, T. T. Cai and A. DasGupta, "Interval
estimation for a binomial proportion", Statistical Science 16 (2001) 101-133.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, erfc, exp, floor, lgamma, log, log1p, sqrt
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


ENDS = (0.5 - DEFAULT_CONFIDENCE / 2, 0.5 + DEFAULT_CONFIDENCE / 2)
"""Shares of a distribution below the two ends of a 95 % interval."""

Z = z_of(ENDS[1])  # standard errors from a normal figure to either end of its 95 % interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its uncertainty, in the unit of the figure."""

    value: float
    # At least 0; how far the figure scatters around its own mean when the trials are done again, or the standard
    # deviation of its posterior where the function says so.
    standard_error: float
    low: float
    high: float
    confidence: float = DEFAULT_CONFIDENCE  # of the interval, two-sided, in (0, 1)


@dataclass(frozen=True, slots=True)
class RateDifference:
    """One share less another."""

    first: Rate  # with its Wilson interval
    second: Rate  # likewise
    value: float  # first - second, in [-1, 1]
    low: float  # lower end of the interval of the difference
    high: float
    confidence: float


def difference_of_rates(
    count_first: int, total_first: int, count_second: int, total_second: int, confidence: float = DEFAULT_CONFIDENCE
) -> RateDifference:
    """The difference of two independent shares, with the interval made of their two Wilson intervals.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison of
    eleven methods", Statistics in Medicine 17 (1998) 873-890, method 10.

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
    """The share of the distribution Beta(a, b) below x in [0, 1], the regularised incomplete beta function; a, b > 0.

    It is the continued fraction of equation 6.4.5 of W. H. Press, S. A. Teukolsky, W. T. Vetterling and B. P. Flannery,
    "Numerical recipes", 3rd edition, Cambridge University Press (2007), by the method of Lentz.
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
    """The ratio of variances below which a share, in (0, 1), of an F distribution lies.

    `above` and `below` are the degrees of freedom of numerator and denominator, above 0.
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


PRIOR = 0.5  # Jeffreys (1946)
FARTHEST = 12.0  # of z; a posterior that reaches farther would need more than a million trials without an error
NEGLIGIBLE = 32.0  # natural logarithm: what is so far below the peak of a density is left out, a share of 1e-14
LOOKS = 3
LOOKED_AT = 121  # nodes of a look
NODES = 256  # in the narrowest density
MOST_NODES = 8192  # in the widest, where the narrowest hardly matters


@dataclass(frozen=True, slots=True)
class Term:
    """w z(rate) of a sum, as far as trials tell it."""

    weight: float  # w, not 0
    count: int  # trials that count, 0 <= count <= total
    total: int  # all trials, at least 1


def central_interval(terms: Sequence[Term]) -> tuple[float, float]:
    """The ends of the equal-tailed 95 % interval of the sum of terms whose rates are independent; within 1e-4 of it."""
    windows = [_window(term) for term in terms]
    widths = [high - low for low, high in windows]
    step = max(min(widths) / NODES, max(widths) / MOST_NODES)
    first, masses = 0, np.ones(1)
    for term, (low, high) in zip(terms, windows, strict=True):
        start, end = floor(low / step), ceil(high / step)
        density = np.exp(_log_density(term, np.arange(start, end + 1, dtype=np.float64) * step))
        first += start
        masses = _convolved(masses, density / density.sum())
    masses = np.pad(masses / masses.sum(), 2)
    low_end, high_end = ((first - 2 + _place(masses, share)) * step for share in ENDS)
    return low_end, high_end


def _place(masses: F64, share: float) -> float:
    """The place on the grid, in steps from its first node, of a quantile of a smooth density; to the fourth order.

    Each mass is of the cell round its node. What a cell's edge has below it is their sum by the rule of Euler and
    Maclaurin, and within the cell the density is a straight line.
    """
    below = np.cumsum(masses) + np.diff(masses, append=0.0) / 24
    cell = int(np.clip(np.searchsorted(below, share), 1, len(masses) - 2))
    here, slope = float(masses[cell]), float(masses[cell + 1] - masses[cell - 1]) / 2
    wanted = share - float(below[cell - 1])
    offset = wanted / here - 0.5
    for _ in range(3):
        excess = here * (offset + 0.5) + slope / 2 * (offset * offset - 0.25) - wanted
        offset -= excess / (here + slope * offset)
    return cell + offset


def _log_density(term: Term, values: F64) -> F64:
    """f64[n]: of w z, up to a constant, 0 at the highest of the values."""
    z = np.clip(values / term.weight, -FARTHEST, FARTHEST)
    of_rate = (term.count + PRIOR - 1.0) * log_cdf(z)
    of_rest = (term.total - term.count + PRIOR - 1.0) * log_cdf(-z)
    density = of_rate + of_rest - z * z / 2  # the last is the slope of the rate in z
    return np.asarray(density - density.max(), dtype=np.float64)


def _window(term: Term) -> tuple[float, float]:
    """The ends of what is not negligible of the density of w z."""
    reach = FARTHEST * abs(term.weight)
    low, high = -reach, reach
    for _ in range(LOOKS):  # each look is closer, for a density that is narrow against the steps of the one before
        nodes = np.linspace(low, high, LOOKED_AT)  # with one top, its density is highest next to the highest node
        seen = np.flatnonzero(_log_density(term, nodes) > -NEGLIGIBLE)
        low, high = float(nodes[max(seen[0] - 1, 0)]), float(nodes[min(seen[-1] + 1, len(nodes) - 1)])
    return low, high


def _convolved(a: F64, b: F64) -> F64:
    """f64[n + m - 1]; by Fourier transform, whose rounding must not make a share negative."""
    size = len(a) + len(b) - 1
    length = 1 << (size - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(a, length) * np.fft.rfft(b, length), length)[:size]
    return np.asarray(np.maximum(product, 0.0), dtype=np.float64)
