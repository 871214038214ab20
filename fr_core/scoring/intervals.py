"""Computes the Wilson score interval of a rate."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from fr_core.errors.base import english
from fr_locales.messages import Message, message

DEFAULT_CONFIDENCE = 0.95  # of intervals; every confidence lies in (0, 1)


class UndefinedRate(ValueError):
    """A rate was asked for that the data cannot give, such as one of no trials at all. It is never 0.0.

    `reason`: a sentence that says what is missing.
    """

    def __init__(self, reason: Message) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return english(self.reason)


@dataclass(frozen=True, slots=True)
class Interval:
    """A range that holds the true rate with the stated confidence, if the trials are independent.

    `confidence`: two-sided, in (0, 1).
    """

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials with the counts behind it."""

    count: int  # trials that the rate counts
    total: int  # all trials, at least 1
    interval: Interval

    @property
    def value(self) -> float:
        """count / total, in [0, 1]."""
        return self.count / self.total


def wilson_interval(count: int, total: int, confidence: float = DEFAULT_CONFIDENCE) -> Interval:
    """The score interval of a binomial share, without continuity correction.

    It is the set of shares p for which |count/total - p| <= z sqrt(p (1 - p) / total), where z is the two-sided normal
    quantile. Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927) 209-212.

    `count`: trials counted, 0 <= count <= total; `total`: independent trials.

    Raises `UndefinedRate`: total is 0; `ValueError`: a count is negative or larger than the total, or the confidence is
    not inside (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"The confidence must lie between 0 and 1, and is {confidence}.")
    if count < 0 or total < 0 or count > total:
        raise ValueError(f"{count} of {total} is not a share.")
    if total == 0:
        raise UndefinedRate(message("undefined.core.rate_no_trials_undefined"))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = count / total
    centre = share + z * z / (2 * total)
    margin = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # At the two ends the interval reaches exactly 0 or 1; rounding must not say otherwise.
    low = 0.0 if count == 0 else max(0.0, (centre - margin) / scale)
    high = 1.0 if count == total else min(1.0, (centre + margin) / scale)
    return Interval(low, high, confidence)


def rate(count: int, total: int, confidence: float = DEFAULT_CONFIDENCE) -> Rate:
    """The share count / total with its Wilson interval; arguments and errors are those of `wilson_interval`."""
    return Rate(count, total, wilson_interval(count, total, confidence))
