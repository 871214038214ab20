"""The beta distribution, and the F distribution that follows from it: what intervals of ratios of variances need."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

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
