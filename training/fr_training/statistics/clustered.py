"""Computes means of many people's own figures, as answers of one person, and to one item, go together.

Pooled answers of a cohort are treated as independent. They are not: each person leans their own way, so that the
interval of a pooled figure is too narrow. People are independent: the mean of their own figures has the interval of
Student ("The probable error of a mean", Biometrika 6 (1908) 1-25). Items are drawn as well as people:
H. H. Clark, "The language-as-fixed-effect fallacy: a critique of language statistics in psychological research",
Journal of Verbal Learning and Verbal Behavior 12 (1973) 335-359.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import message
from fr_training.statistics.estimates import ENDS, Estimate, f_quantile

FEWEST = 2
NOTHING = 1e-12  # of a variance: what is left of 0 by rounding


@lru_cache(maxsize=64)
def t_quantile(share: float, freedom: float) -> float:
    """The value below which a share, in (.5, 1), of Student's t distribution lies.

    Its square has the F distribution of 1 and `freedom` degrees of freedom.
    """
    if not 0.5 < share < 1.0:
        raise ValueError(f"A share lies in (.5, 1) here, and not at {share}.")
    return sqrt(f_quantile(2.0 * share - 1.0, 1.0, freedom))


def mean_of_people(values: F64, errors: F64 | None = None, item_error: float = 0.0) -> Estimate:
    """The mean of people's own figures, with Student's interval: each person is one observation.

    The standard error is that of the scatter between people, but at least that of the people's own errors, as people
    may be alike by chance; the error from the items is added in squares.

    Args:
        values: f64[n], finite, one of each person.
        errors: f64[n], the standard error of each value; None where there is none.
        item_error: standard error of the mean from the choice of items, which all people share; at least 0.

    Raises:
        UndefinedRate: there are fewer than two people, or all are alike and there is no error.
        ValueError: shape or dtype differs from the above, or a number is out of its range.
    """
    for some in (values, values if errors is None else errors):
        if some.shape != values.shape or some.ndim != 1 or some.dtype != np.float64 or not np.isfinite(some).all():
            raise ValueError(f"Figures of people are f64[n] and finite, not {some.dtype}{list(some.shape)}.")
    if not item_error >= 0.0:
        raise ValueError(f"An error is at least 0, and not {item_error}.")
    if len(values) < FEWEST:
        raise UndefinedRate(message("undefined.mean_needs_people", least=FEWEST))
    between = float(values.var(ddof=1))
    within = 0.0 if errors is None else float((errors**2).mean())
    error = sqrt(max(between, within) / len(values) + item_error**2)
    if error <= NOTHING:
        raise UndefinedRate(message("undefined.people_alike"))
    mean, margin = float(values.mean()), t_quantile(ENDS[1], len(values) - 1) * error
    return Estimate(mean, error, mean - margin, mean + margin)


def spread_of_items(counted: F64, shown: F64) -> float:
    """The standard error of a share from the choice of items: how much items differ beyond what their answers scatter.

    Args:
        counted: f64[items], answers to each that count, 0 <= counted <= shown.
        shown: f64[items], answers to each, at least 1.

    Returns:
        At least 0; 0 where fewer than two items have two answers, which cannot tell the one from the other.
    """
    several = shown > 1.0
    if several.sum() < FEWEST:
        return 0.0
    shares, answers = counted[several] / shown[several], shown[several]
    scatter = shares * (1.0 - shares) / (answers - 1.0)
    return sqrt(max(0.0, float(shares.var(ddof=1) - scatter.mean())) / len(shares))
