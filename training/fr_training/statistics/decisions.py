"""Counts decisions and ratings of pairs: both error rates, with and without undecided pairs.

A rating above 0 says "same", one below 0 "different", and 0 is undecided. Leaving the undecided out makes a person who
decides only easy pairs look good; counting them as errors makes a careful person look bad. So both shares of errors are
given, and the share decided with them: A. Scurich and R. S. John, "Three-way ROCs for forensic decision making",
Statistics and Public Policy 10 (2023); M. Hofmann, A. Carriquiry and S. Vanderplas, "Treatment of inconclusives in the
AFTE range of conclusions", Law, Probability and Risk 19 (2020) 317-364.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate, UndefinedRate, rate
from fr_core.types import I64
from fr_locales.messages import message


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome of trials, some of which may have been left undecided."""

    errors_of_all: Rate  # wrong decisions, of all trials
    # Wrong decisions, of those decided; None where none was, as the share is undefined.
    errors_of_conclusive: Rate | None
    coverage: Rate  # trials decided, of all


@dataclass(frozen=True, slots=True)
class SignalCounts:
    """The counts of signal detection, from ratings cut at one level of the scale."""

    hits: int  # mated pairs rated above the cut
    mated: int  # mated pairs
    false_alarms: int  # non-mated pairs rated above the cut
    nonmated: int  # non-mated pairs


def decided(right: int, wrong: int, inconclusive: int, confidence: float = DEFAULT_CONFIDENCE) -> Decided:
    """Shares of errors of all trials and of those decided, and the share decided, each with its Wilson interval.

    Args:
        right: right decisions.
        wrong: wrong decisions.
        inconclusive: trials left undecided.
        confidence: of the intervals, in (0, 1).

    Raises:
        UndefinedRate: there is no trial.
        ValueError: a number is negative, or the confidence is outside (0, 1).
    """
    if min(right, wrong, inconclusive) < 0:
        raise ValueError("Decisions are counted from 0.")
    conclusive = right + wrong
    total = conclusive + inconclusive
    return Decided(
        rate(wrong, total, confidence),
        rate(wrong, conclusive, confidence) if conclusive else None,
        rate(conclusive, total, confidence),
    )


def signal_counts(ratings: I64, mated: Bools, cut: int = 0) -> SignalCounts:
    """Counts of "same": ratings above the cut. The undecided are below it, as they do not say "same".

    Each cut of a rating scale is one point of its ROC curve, and d' and c are those of the point: N. A. Macmillan and
    C. D. Creelman, "Detection theory: a user's guide", 2nd edition, Erlbaum (2005), chapter 3.

    Args:
        ratings: i64[n].
        mated: bool[n].
        cut: the highest rating that does not say "same".

    Raises:
        UndefinedRate: there is no mated or no non-mated pair.
        ValueError: shapes or dtypes differ from the above.
    """
    check_ratings(ratings, mated)
    require_both(mated)
    same = ratings > cut
    return SignalCounts(int(same[mated].sum()), int(mated.sum()), int(same[~mated].sum()), int((~mated).sum()))


def check_ratings(ratings: I64, mated: Bools) -> None:
    """The ratings are i64[n], `mated` is bool[n]: ValueError otherwise."""
    if ratings.ndim != 1 or ratings.dtype != np.int64:
        raise ValueError(f"Ratings are i64[n], not {ratings.dtype}{list(ratings.shape)}.")
    if mated.shape != ratings.shape or mated.dtype != np.bool_:
        raise ValueError(f"{len(ratings)} ratings need as many booleans, not {mated.dtype}{list(mated.shape)}.")


def require_both(mated: Bools) -> None:
    """Require a mated and a non-mated pair: UndefinedRate otherwise."""
    if mated.all() or not mated.any():
        raise UndefinedRate(message("undefined.both_error_rates"))


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
