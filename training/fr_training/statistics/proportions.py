"""The difference of two shares of different trials, with an interval that stays honest where one of them is 0 or 1."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate, rate


@dataclass(frozen=True, slots=True)
class RateDifference:
    """One share less another.

    Attributes:
        first: with its Wilson interval.
        second: likewise.
        value: first - second, in [-1, 1].
        low: lower end of the interval of the difference.
        high: upper end.
        confidence: of the intervals, in (0, 1).
    """

    first: Rate
    second: Rate
    value: float
    low: float
    high: float
    confidence: float


def difference_of_rates(
    count_first: int, total_first: int, count_second: int, total_second: int, confidence: float = DEFAULT_CONFIDENCE
) -> RateDifference:
    """The difference of two independent shares, with the interval made of their two Wilson intervals.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison of
    eleven methods", Statistics in Medicine 17 (1998) 873-890, method 10.

    Args:
        count_first: trials that the first share counts.
        total_first: all its trials.
        count_second: trials that the second share counts.
        total_second: all its trials, none of which is of the first.
        confidence: of the intervals, in (0, 1).

    Raises:
        UndefinedRate: one of them has no trial.
        ValueError: a count is negative or larger than its total, or the confidence is outside (0, 1).
    """
    first, second = rate(count_first, total_first, confidence), rate(count_second, total_second, confidence)
    value = first.value - second.value
    below = sqrt((first.value - first.interval.low) ** 2 + (second.interval.high - second.value) ** 2)
    above = sqrt((first.interval.high - first.value) ** 2 + (second.value - second.interval.low) ** 2)
    return RateDifference(first, second, value, value - below, value + above, confidence)
