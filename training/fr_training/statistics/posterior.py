"""Computes the posterior of sums of z-transformed rates under Jeffreys' prior, without random draws.

d', the criterion and their differences are all sums of w z(rate) over independent rates. Each rate has the posterior
Beta(count + 1/2, total - count + 1/2), and the sum's posterior is the convolution of theirs, here on a grid. Its mean
rate is (count + 1/2) / (total + 1), the log-linear rule, so that figure and interval come from one model. Sources:
H. Jeffreys, "An invariant form for the prior probability in estimation problems", Proceedings of the Royal Society A
186 (1946) 453-461; that such intervals cover a binomial share as they claim: L. D. Brown, T. T. Cai and A. DasGupta,
"Interval estimation for a binomial proportion", Statistical Science 16 (2001) 101-133.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from fr_core.scoring.checks import F64
from fr_training.statistics import estimates

PRIOR = 0.5  # Jeffreys (1946)
FARTHEST = 12.0  # of z; a posterior that reaches farther would need more than a million trials without an error
NEGLIGIBLE = 32.0  # natural logarithm: what is so far below the peak of a density is left out, a share of 1e-14
LOOKS = 3
LOOKED_AT = 121  # nodes of a look
NODES = 256  # in the narrowest density
MOST_NODES = 8192  # in the widest, where the narrowest hardly matters


@dataclass(frozen=True, slots=True)
class Term:
    """w z(rate) of a sum, as far as trials tell it.

    Attributes:
        weight: w, not 0.
        count: trials that count, 0 <= count <= total.
        total: all trials, at least 1.
    """

    weight: float
    count: int
    total: int


def central_interval(terms: Sequence[Term], confidence: float) -> tuple[float, float]:
    """The ends of the equal-tailed interval of the sum of the terms, whose rates are independent; within 1e-4 of it.

    Args:
        terms: at least one.
        confidence: in (0, 1).
    """
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
    low_end, high_end = (
        (first - 2 + _place(masses, share)) * step for share in (0.5 - confidence / 2, 0.5 + confidence / 2)
    )
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
    of_rate = (term.count + PRIOR - 1.0) * estimates.log_cdf(z)
    of_rest = (term.total - term.count + PRIOR - 1.0) * estimates.log_cdf(-z)
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
