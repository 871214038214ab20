"""How far stated probabilities are off by chance alone, of so few trials, where all of them are right."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate

MOST_EXACT = 300  # trials of a bin whose shares are added up one by one; beyond, the normal law is off by under 1 %


def calibration_error_by_chance(probabilities: F64, bins: int = 5) -> float:
    """The mean of `fr_core.scoring.likelihood.expected_calibration_error` where each probability is the true one.

    The error never falls to 0 of few trials: of 50 it is about .08. A figure no larger than this one shows no fault.

    Args:
        probabilities: f64[n], in [0, 1].
        bins: at least 1; they divide [0, 1] equally and hold their lower end.

    Raises:
        UndefinedRate: n is 0.
        ValueError: shape or dtype differs from the above, or a number is out of its range.
    """
    if probabilities.ndim != 1 or probabilities.dtype != np.float64 or bins < 1:
        raise ValueError(f"Probabilities are f64[n], not {probabilities.dtype}{list(probabilities.shape)}.")
    if not ((probabilities >= 0.0) & (probabilities <= 1.0)).all():
        raise ValueError("A probability does not lie in [0, 1].")
    if not len(probabilities):
        raise UndefinedRate("The calibration of no probabilities is undefined.")
    places = np.searchsorted(np.arange(1, bins) / bins, probabilities, side="right")
    return sum(_mean_distance(probabilities[places == place]) for place in np.unique(places)) / len(probabilities)


def _mean_distance(probabilities: F64) -> float:
    """The mean of |trials that turn out so - the sum of their probabilities|."""
    expected = float(probabilities.sum())
    if len(probabilities) > MOST_EXACT:
        return sqrt(2.0 / pi * float((probabilities * (1.0 - probabilities)).sum()))
    shares = np.ones(1)
    for one in probabilities.tolist():
        shares = np.convolve(shares, [1.0 - one, one])
    return float(shares @ np.abs(np.arange(len(shares)) - expected))
