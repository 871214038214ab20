"""The area under the ROC curve: how often a mated comparison is more similar than a non-mated one, and how sure."""

from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np

from fr_core.scoring.checks import F64, check_confidence, check_failures, check_similarities
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Interval, UndefinedRate
from fr_locales.messages import message


@dataclass(frozen=True, slots=True)
class Auc:
    """The area with its uncertainty."""

    value: float  # in (0, 1)
    standard_error: float  # DeLong's, above 0
    interval: Interval  # of the area, normal on the logit scale, so that it stays inside (0, 1)
    n_mated: int  # mated pairs, failures included
    n_nonmated: int  # non-mated comparisons


def auc(mated: F64, nonmated: F64, mated_failures: int = 0) -> float:
    """The share of all couples (mated, non-mated) in which the mated one is more similar; a tie counts one half.

    It is the Mann-Whitney statistic / (n m), and the area under the empirical ROC curve. Source: J. A. Hanley and B. J.
    McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve", Radiology 143
    (1982) 29-36. Time O((n + m) log(n + m)).

    Args:
        mated: f64[n], finite similarities of mated comparisons.
        nonmated: f64[m], finite similarities of non-mated comparisons.
        mated_failures: further mated pairs that could not be compared; each counts as less similar than any other.

    Returns:
        In [0, 1].

    Raises `UndefinedRate`: there is no mated pair, or no non-mated comparison; `ValueError`: a shape, a dtype or a
    number differs from the above.
    """
    return float(_mated_wins(mated, nonmated, mated_failures).mean())


def auc_delong(mated: F64, nonmated: F64, confidence: float = DEFAULT_CONFIDENCE, *, mated_failures: int = 0) -> Auc:
    """The area with DeLong's standard error, and an interval that is normal on the logit scale.

    The variance is that of the shares won by each mated one / n + that of the shares lost by each non-mated one / m,
    both with the divisor n - 1. Sources: E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, "Comparing the areas
    under two or more correlated receiver operating characteristic curves: a nonparametric approach", Biometrics 44
    (1988) 837-845; in O((n + m) log(n + m)) by ranks: X. Sun and W. Xu, "Fast implementation of DeLong's algorithm",
    IEEE Signal Processing Letters 21 (2014) 1389-1393; the logit: M. S. Pepe, "The statistical evaluation of medical
    tests for classification and prediction", Oxford University Press (2003). It takes the comparisons for independent.

    `mated`, `nonmated`, `mated_failures`: as for `auc`.

    Raises:
        UndefinedRate: there are fewer than two of either kind, or DeLong's error is 0 and so says nothing, as where the
            area is 0 or 1 or all are tied; `auc` answers then.
        ValueError: as for `auc`, or the confidence is outside (0, 1).
    """
    check_confidence(confidence)
    won = _mated_wins(mated, nonmated, mated_failures)
    lost = _nonmated_losses(mated, nonmated, mated_failures)
    if len(won) < 2 or len(lost) < 2:
        raise UndefinedRate(message("undefined.core.standard_error_area_needs"))
    value = float(won.mean())
    error = sqrt(float(won.var(ddof=1)) / len(won) + float(lost.var(ddof=1)) / len(lost))
    if error == 0.0 or not 0.0 < value < 1.0:
        raise UndefinedRate(message("undefined.core.these_pairs_cannot_show", value=value))
    margin = NormalDist().inv_cdf(0.5 + confidence / 2) * error / (value * (1.0 - value))
    centre = log(value / (1.0 - value))
    interval = Interval(_logistic(centre - margin), _logistic(centre + margin), confidence)
    return Auc(value, error, interval, len(won), len(lost))


def _mated_wins(mated: F64, nonmated: F64, mated_failures: int) -> F64:
    """f64[n + failures] in [0, 1]: of each mated pair, the share of non-mated ones below it."""
    check_similarities(mated)
    check_similarities(nonmated)
    check_failures(mated_failures)
    if len(mated) + mated_failures == 0 or len(nonmated) == 0:
        raise UndefinedRate(message("undefined.core.area_needs_least_mated"))
    return np.concatenate([share_below(mated, nonmated), np.zeros(mated_failures)])


def _nonmated_losses(mated: F64, nonmated: F64, mated_failures: int) -> F64:
    """f64[m] in [0, 1]: of each non-mated comparison, the share of mated pairs above it."""
    above = np.zeros(len(nonmated)) if len(mated) == 0 else 1.0 - share_below(nonmated, mated)
    return above * (len(mated) / (len(mated) + mated_failures))


def share_below(values: F64, others: F64) -> F64:
    """f64[n] in [0, 1]: of each value, the share of the others below it, ties counting one half.

    Their mean is `auc`. Both are f64[n] and finite, and `others` is not empty: nothing is checked.
    """
    ordered = np.sort(others)
    twice = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return twice / (2.0 * len(others))


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + exp(-x)) if x >= 0.0 else exp(x) / (1.0 + exp(x))
