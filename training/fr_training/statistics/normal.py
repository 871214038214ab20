"""The normal distribution for arrays: its distribution function, that function's logarithm, and its quantiles."""

from __future__ import annotations

from math import erfc, sqrt
from statistics import NormalDist

import numpy as np

from fr_core.scoring.checks import F64


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
