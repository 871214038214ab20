"""What figures are made of: a value with its interval, or a sentence that says why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias, TypeVar

from fr_core.scoring.intervals import Interval, Rate, UndefinedRate, rate
from fr_training.results import Result

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Undefined:
    """A figure that the answers cannot give; it is never 0.

    Attributes:
        reason: a sentence for the reader.
    """

    reason: str


Maybe: TypeAlias = T | Undefined
"""A figure, or why there is none."""


def unless_undefined(figure: Callable[[], T]) -> Maybe[T]:
    """The figure, or the reason of the `UndefinedRate` that it raises."""
    try:
        return figure()
    except UndefinedRate as undefined:
        return Undefined(str(undefined))


def share(count: int, total: int, lacking: str) -> Maybe[Rate]:
    """The share count / total with Wilson's 95 % interval.

    Args:
        count: from 0 to `total`.
        total: of all; where it is 0, the share is undefined.
        lacking: what there is none of, such as "pairs of one person".
    """
    return rate(count, total) if total else Undefined(f"There are no {lacking}.")


@dataclass(frozen=True, slots=True)
class Area:
    """The area under an ROC curve.

    Attributes:
        value: in [0, 1]; .5 is guessing.
        interval: DeLong's; undefined where the answers cannot show it, as of an area of exactly 1.
        standard_error: DeLong's; None where the interval is undefined.
    """

    value: float
    interval: Maybe[Interval]
    standard_error: float | None = None


@dataclass(frozen=True, slots=True)
class Time:
    """A median time.

    Attributes:
        median_ms: milliseconds, pauses left out.
        trials: that have a time and no pause in it.
    """

    median_ms: float
    trials: int


@dataclass(frozen=True, slots=True)
class Times:
    """How long right and wrong answers took."""

    right: Maybe[Time]
    wrong: Maybe[Time]


def times(results: Sequence[Result]) -> Times:
    """Medians of the times of right and of wrong answers; trials with a pause in them are left out."""
    return Times(_time(results, True, "right"), _time(results, False, "wrong"))


def _time(results: Sequence[Result], correct: bool, word: str) -> Maybe[Time]:
    taken = [one.took_ms for one in results if one.correct is correct and one.took_ms is not None and not one.paused]
    return Time(float(median(taken)), len(taken)) if taken else Undefined(f"There are no {word} answers with a time.")
