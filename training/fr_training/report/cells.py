"""Writes figures as short texts for the cells of tables."""

from __future__ import annotations

from typing import TypeAlias

from fr_core.scoring.intervals import Rate
from fr_locales.messages import Message
from fr_locales.rendering import render
from fr_training.grading.values import Area, Time, Undefined
from fr_training.statistics.estimates import Estimate

NO_FIGURE = "not known"
HEADER = ("figure", "value; 95 % interval", "what it means")
Row: TypeAlias = tuple[str, str, str]
"""A figure, its value, and what it means."""


def percent(value: float) -> str:
    """A share in [0, 1] as whole per cent; "under 1 %" and "over 99 %" where rounding would say none or all."""
    if 0.0 < value < 0.01:
        return "under 1 %"
    if 0.99 < value < 1.0:
        return "over 99 %"
    return f"{value:.0%}".replace("%", " %")


def percentile(value: object) -> str:
    """A percentile in percent, never 0 or 100, or why there is none."""
    if not isinstance(value, float):
        return text(value)
    return "under 1" if value < 1.0 else "over 99" if value > 99.0 else f"{value:.0f}"


def placed(value: object, low: float | None, high: float | None) -> str:
    """A percentile with the range that the score's own interval gives it, or why there is none."""
    if low is None or high is None:
        return percentile(value)
    return f"{percentile(value)}; {percentile(low)} to {percentile(high)}"


def text(value: object, digits: int = 2) -> str:
    """A figure with its interval, or why there is none.

    Args:
        value: a rate, an estimate, an area, a time, a number, a message, or an `Undefined`; None is written as "".
        digits: behind the point.
    """
    match value:
        case None:
            return ""
        case Undefined():
            return f"{NO_FIGURE}: {render(value.reason)}"
        case Rate():
            ends = f"{percent(value.interval.low)} to {percent(value.interval.high)}"
            return f"{percent(value.value)} ({value.count:,} of {value.total:,}); {ends}"
        case Estimate():
            return f"{_number(value.value, digits)}; {_number(value.low, digits)} to {_number(value.high, digits)}"
        case Area():
            if isinstance(value.interval, Undefined):
                return f"{value.value:.{digits}f}; no interval: {render(value.interval.reason)}"
            return f"{value.value:.{digits}f}; {value.interval.low:.{digits}f} to {value.interval.high:.{digits}f}"
        case Message():
            return render(value)
        case Time():
            return f"{value.median_ms / 1000:.1f} s (of {value.trials:,})"
        case bool():
            return "yes" if value else "no"
        case float():
            return _number(value, digits)
        case int():
            return f"{value:,}"
    return str(value)


def _number(value: float, digits: int) -> str:
    written = f"{value:.{digits}f}"
    return written.lstrip("-") if float(written) == 0.0 else written  # no "-0.00"
