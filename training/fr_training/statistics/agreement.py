"""Measures the agreement of two people, or of one person at two times: kappa, McNemar, intraclass correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, UndefinedRate
from fr_core.types import I64
from fr_locales.messages import message
from fr_training.statistics.estimates import ENDS, Estimate, Z, f_quantile

NOTHING = 1e-12  # of a variance: what is left of 0 by rounding


@dataclass(frozen=True, slots=True)
class Intraclass:
    """An intraclass correlation of single scores."""

    value: float  # at most 1; below 0 where scores of one subject differ more than those of several
    low: float
    high: float
    confidence: float
    subjects: int  # rows
    raters: int  # columns


def kappa(first: I64, second: I64, levels: Sequence[int], power: int) -> Estimate:
    """Agreement beyond what two people who answer independently would reach: 1 is full, 0 is chance.

    Source: J. Cohen, "Weighted kappa", Psychological Bulletin 70 (1968) 213-220. The standard error is that of J. L.
    Fleiss, J. Cohen and B. S. Everitt, "Large sample standard errors of kappa and weighted kappa", Psychological
    Bulletin 72 (1969) 323-327, and the interval normal, cut at -1 and 1: below about 30 items it is rough, and full
    agreement leaves it without width.

    Args:
        first: i64[n], the level that each item was given.
        second: i64[n], the same by the other person or at the other time.
        levels: all levels of the scale in their order, each once, at least two.
        power: of the distance, in steps of this order, that a disagreement weighs: 1 is linear, 2 quadratic.

    Raises:
        UndefinedRate: there is no item, or both always gave one and the same level, so that chance alone agrees fully.
        ValueError: shapes or dtypes differ from the above, an answer is not one of the levels, or a level comes twice.
    """
    table = _table(first, second, levels)
    apart = np.abs(np.subtract.outer(np.arange(len(levels)), np.arange(len(levels)))) / (len(levels) - 1)
    agrees = 1.0 - apart**power  # f64[levels, levels] in [0, 1]
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    observed, by_chance = float((agrees * table).sum()), float(rows @ agrees @ columns)
    if 1.0 - by_chance < NOTHING:
        raise UndefinedRate(message("undefined.one_level"))
    value = (observed - by_chance) / (1.0 - by_chance)
    of_pair = (agrees @ columns)[:, None] + (rows @ agrees)[None, :]
    spread = (table * (agrees * (1.0 - by_chance) - of_pair * (1.0 - observed)) ** 2).sum()
    variance = (spread - (observed * by_chance - 2.0 * by_chance + observed) ** 2) / (1.0 - by_chance) ** 4
    error = sqrt(float(variance) / len(first)) if variance > NOTHING else 0.0
    margin = Z * error
    return Estimate(value, error, max(-1.0, value - margin), min(1.0, value + margin))


def mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p of as unequal a number of items that only one of two got right, if both are equally able.

    Exact, by the binomial distribution: Q. McNemar, "Note on the sampling error of the difference between correlated
    proportions or percentages", Psychometrika 12 (1947) 153-157. Without such an item it is an UndefinedRate.
    """
    if first_only < 0 or second_only < 0:
        raise ValueError("Items are counted from 0.")
    n = first_only + second_only
    if n == 0:
        raise UndefinedRate(message("undefined.same_items_right"))
    tail = sum(comb(n, k) for k in range(min(first_only, second_only) + 1))
    return min(1.0, float(2 * tail / 2**n))


def icc_agreement(scores: F64) -> Intraclass:
    """ICC(2,1): how far a single score of one rater agrees with another's, differences of level counted.

    Sources: P. E. Shrout and J. L. Fleiss, "Intraclass correlations: uses in assessing rater reliability",
    Psychological Bulletin 86 (1979) 420-428; the interval: K. O. McGraw and S. P. Wong, "Forming inferences about some
    intraclass correlation coefficients", Psychological Methods 1 (1996) 30-46, case 2A.

    Args:
        scores: f64[subjects, raters], finite, at least two of each; raters may be two occasions.

    Raises:
        UndefinedRate: fewer than two subjects or raters, or the scores leave no error to judge it by.
        ValueError: shape or dtype differs from the above, or a score is not finite.
    """
    rows, columns, error = _mean_squares(scores)
    n, k = scores.shape
    value = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    a = k * value / (n * (1.0 - value))
    b = 1.0 + k * value * (n - 1) / (n * (1.0 - value))
    parts = (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    freedom = (a * columns + b * error) ** 2 / parts
    f_low, f_high = f_quantile(ENDS[1], n - 1, freedom), f_quantile(ENDS[1], freedom, n - 1)
    rest = k * columns + (k * n - k - n) * error
    low = n * (rows - f_low * error) / (f_low * rest + n * rows)
    high = n * (f_high * rows - error) / (rest + n * f_high * rows)
    # The interval is approximate, and of very few subjects or below 0 may miss the value by a little.
    return Intraclass(value, min(low, value), max(high, value), DEFAULT_CONFIDENCE, n, k)


def icc_consistency(scores: F64) -> Intraclass:
    """ICC(3,1): as `icc_agreement`, but a difference that all subjects share, such as practice, is no error."""
    rows, _, error = _mean_squares(scores)
    n, k = scores.shape
    value = (rows - error) / (rows + (k - 1) * error)
    f_low = rows / error / f_quantile(ENDS[1], n - 1, (n - 1) * (k - 1))
    f_high = rows / error * f_quantile(ENDS[1], (n - 1) * (k - 1), n - 1)
    return Intraclass(value, (f_low - 1) / (f_low + k - 1), (f_high - 1) / (f_high + k - 1), DEFAULT_CONFIDENCE, n, k)


def _table(first: I64, second: I64, levels: Sequence[int]) -> F64:
    """f64[levels, levels]: the share of items that were given each two levels."""
    if len(set(levels)) != len(levels) or len(levels) < 2:
        raise ValueError("A rating scale has at least two levels, each once.")
    place = {level: number for number, level in enumerate(levels)}
    for answers in (first, second):
        if answers.ndim != 1 or answers.dtype != np.int64 or answers.shape != first.shape:
            raise ValueError(f"Two people's answers are i64[n] both, not {answers.dtype}{list(answers.shape)}.")
        if not np.isin(answers, np.array(levels)).all():
            raise ValueError("An answer is not one of the levels of the scale.")
    if len(first) == 0:
        raise UndefinedRate(message("undefined.no_common_item"))
    table = np.zeros((len(levels), len(levels)))
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        table[place[one], place[other]] += 1.0
    return np.asarray(table / len(first), dtype=np.float64)


def _mean_squares(scores: F64) -> tuple[float, float, float]:
    """Of subjects, of raters, and of what is left (Shrout and Fleiss, table 3)."""
    if scores.ndim != 2 or scores.dtype != np.float64 or not np.isfinite(scores).all():
        raise ValueError(f"Scores are f64[subjects, raters] and finite, not {scores.dtype}{list(scores.shape)}.")
    n, k = scores.shape
    if n < 2 or k < 2:
        raise UndefinedRate(message("undefined.intraclass"))
    off = scores - scores.mean()
    of_rows, of_columns = off.mean(axis=1), off.mean(axis=0)
    rest = off - of_rows[:, None] - of_columns[None, :]
    error = float((rest**2).sum()) / ((n - 1) * (k - 1))
    rows, columns = float((of_rows**2).sum()) * k / (n - 1), float((of_columns**2).sum()) * n / (k - 1)
    if error <= NOTHING * (rows + columns + error):
        raise UndefinedRate(message("undefined.scores_without_error"))
    return rows, columns, error
