"""A figure with how sure it is: what every room of human answers returns where the figure is no share of trials."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its uncertainty, in the unit of the figure.

    Attributes:
        value: the figure.
        standard_error: at least 0; how far the figure scatters around its own mean when the trials are done again, or
            the standard deviation of its posterior where the function says so.
        low: lower end of the interval.
        high: upper end.
        confidence: of the interval, two-sided, in (0, 1).
    """

    value: float
    standard_error: float
    low: float
    high: float
    confidence: float
