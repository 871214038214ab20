"""What is claimed of the product, the bar of each claim, and what the study found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from fr_core.scoring.checks import F64

MOST_ERRORS = 2.0
"""Standard errors of the mean that the mean of estimates may be off by; chance alone exceeds it 1 time in 22."""

LEAST_COVERAGE, MOST_COVERAGE = 0.93, 0.97
"""Of 95 % intervals. Of 500 trainees, chance alone leaves it 1 time in 25 where the true coverage is 95 %."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim.

    Attributes:
        claim: in words.
        bar: what must be found.
        found: what was found.
        met: whether it is within the bar; None where a figure is told without one.
        figures: the numbers behind `found`, by name.
    """

    claim: str
    bar: str
    found: str
    met: bool | None
    figures: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Series:
    """An estimate of every trainee, beside the truth.

    Attributes:
        name: of the figure.
        key: of it in JSON.
        true: f64[n], what is estimated.
        target: f64[n], what the estimator gives on average over all outcomes; where that is not known, the truth.
        estimate: f64[n].
        low: f64[n], lower ends of 95 % intervals.
        high: f64[n], upper ends.
        unbiased: whether the mean of estimates is claimed to be that of the targets.
    """

    name: str
    key: str
    true: F64
    target: F64
    estimate: F64
    low: F64
    high: F64
    unbiased: bool = True


def bias_claim(series: Series) -> Claim:
    """The mean of estimate less target, against its standard error; of at least two trainees."""
    off = series.estimate - series.target
    bias, error = float(off.mean()), float(off.std(ddof=1)) / sqrt(len(off))
    from_truth = float((series.estimate - series.true).mean())
    figures = {"bias": bias, "standard_error": error, "from_truth": from_truth}
    found = f"{bias:+.3f}, standard error {error:.3f}"
    if not series.unbiased:
        return Claim(f"Bias of {series.name}", "none: drawn to the prior's mean", found, None, figures)
    bar = f"within {MOST_ERRORS:g} standard errors of 0"
    return Claim(f"Bias of {series.name}", bar, found, abs(bias) <= MOST_ERRORS * error, figures)


def coverage_claim(series: Series) -> Claim:
    """The share of 95 % intervals, ends included, that hold the truth."""
    held = (series.low <= series.true) & (series.true <= series.high)
    share = float(held.mean())
    return Claim(
        f"Coverage of 95 % intervals of {series.name}",
        f"{LEAST_COVERAGE:.0%} to {MOST_COVERAGE:.0%}",
        f"{share:.1%}",
        LEAST_COVERAGE <= share <= MOST_COVERAGE,
        {"coverage": share, "held": float(np.count_nonzero(held)), "trainees": float(len(held))},
    )
