"""Counts ratings of pairs: above 0 says "same", below 0 "different", and 0 is undecided."""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import UndefinedRate
from fr_core.types import I64
from fr_locales.messages import message


class SignalCounts(NamedTuple):
    """The counts of signal detection."""

    hits: int  # mated pairs called "same"
    mated: int
    false_alarms: int  # non-mated pairs called "same"
    nonmated: int


def signal_counts(ratings: I64, mated: Bools) -> SignalCounts:
    """Counts of "same": ratings above 0; the undecided do not say it.

    Each cut of a rating scale is one point of its ROC curve, and d' and c are those of the point: N. A. Macmillan and
    C. D. Creelman, "Detection theory: a user's guide", 2nd edition, Erlbaum (2005), chapter 3.

    Raises:
        UndefinedRate: there is no mated or no non-mated pair.
        ValueError: the ratings are not i64[n], or the truths not bool[n].
    """
    check_ratings(ratings, mated)
    if mated.all() or not mated.any():
        raise UndefinedRate(message("undefined.both_error_rates"))
    same = ratings > 0
    return SignalCounts(int(same[mated].sum()), int(mated.sum()), int(same[~mated].sum()), int((~mated).sum()))


def check_ratings(ratings: I64, mated: Bools) -> None:
    """The ratings are i64[n], `mated` is bool[n]: ValueError otherwise."""
    if ratings.ndim != 1 or ratings.dtype != np.int64:
        raise ValueError(f"Ratings are i64[n], not {ratings.dtype}{list(ratings.shape)}.")
    if mated.shape != ratings.shape or mated.dtype != np.bool_:
        raise ValueError(f"{len(ratings)} ratings need as many booleans, not {mated.dtype}{list(mated.shape)}.")


MOST_EXACT = 300  # trials of a bin whose shares are added up one by one; beyond, the normal law is off by under 1 %


def calibration_error_by_chance(probabilities: F64, bins: int = 5) -> float:
    """The mean of `fr_core.scoring.likelihood.expected_calibration_error` where each probability is the true one.

    The error never falls to 0 of few trials: of 50 it is about .08. A figure no larger than this one shows no fault.
    The probabilities are f64[n], in [0, 1]; the bins divide [0, 1] equally and hold their lower end.

    Raises:
        UndefinedRate: n is 0.
        ValueError: shape or dtype differs from the above, or a number is out of its range.
    """
    if probabilities.ndim != 1 or probabilities.dtype != np.float64 or bins < 1:
        raise ValueError(f"Probabilities are f64[n], not {probabilities.dtype}{list(probabilities.shape)}.")
    if not ((probabilities >= 0.0) & (probabilities <= 1.0)).all():
        raise ValueError("A probability does not lie in [0, 1].")
    if not len(probabilities):
        raise UndefinedRate(message("undefined.no_probability"))
    places = np.searchsorted(np.arange(1, bins) / bins, probabilities, side="right")
    return sum(_mean_distance(probabilities[places == place]) for place in np.unique(places)) / len(probabilities)


def _mean_distance(probabilities: F64) -> float:
    """The mean distance of the number of true trials from the sum of their probabilities."""
    expected = float(probabilities.sum())
    if len(probabilities) > MOST_EXACT:
        return sqrt(2.0 / pi * float((probabilities * (1.0 - probabilities)).sum()))
    shares = np.ones(1)
    for one in probabilities.tolist():
        shares = np.convolve(shares, [1.0 - one, one])
    return float(shares @ np.abs(np.arange(len(shares)) - expected))
