"""Defines what figures are made of (a value with its interval, or why there is none), and selects trials.

Trials that show somebody whom the trainee knows, and trials without an answer, are left out of every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias, TypeVar

from fr_core.scoring.intervals import Interval, Rate, UndefinedRate, rate
from fr_locales.messages import Message, message
from fr_training.plan import PAIRS
from fr_training.prompts import ExerciseKind
from fr_training.trials import Result

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Undefined:
    """A figure that the answers cannot give; it is never 0."""

    reason: Message  # a sentence for the reader, to be rendered


Maybe: TypeAlias = T | Undefined  # A figure, or why there is none


def unless_undefined(figure: Callable[[], T]) -> Maybe[T]:
    """The figure, or the reason of the `UndefinedRate` that it raises."""
    try:
        return figure()
    except UndefinedRate as undefined:
        return Undefined(undefined.reason)


def share(count: int, total: int, lacking: Message) -> Maybe[Rate]:
    """The share count / total with Wilson's 95 % interval; of no trial it is undefined, as `lacking` says."""
    return rate(count, total) if total else Undefined(lacking)


@dataclass(frozen=True, slots=True)
class Area:
    """The area under an ROC curve."""

    value: float  # in [0, 1]; .5 is guessing
    interval: Maybe[Interval]  # DeLong's; undefined where the answers cannot show it, as of an area of exactly 1
    standard_error: float | None = None  # DeLong's; None where the interval is undefined


@dataclass(frozen=True, slots=True)
class Time:
    """A median time."""

    median_ms: float  # milliseconds, pauses left out
    trials: int  # that have a time and no pause in it


@dataclass(frozen=True, slots=True)
class Times:
    """The times of right and of wrong answers."""

    right: Maybe[Time]
    wrong: Maybe[Time]


def times(results: Sequence[Result]) -> Times:
    """Medians of the times of right and of wrong answers; trials with a pause in them are left out."""
    return Times(_time(results, True, message("none.right_times")), _time(results, False, message("none.wrong_times")))


def _time(results: Sequence[Result], correct: bool, lacking: Message) -> Maybe[Time]:
    taken = [one.took_ms for one in results if one.correct is correct and one.took_ms is not None and not one.paused]
    return Time(float(median(taken)), len(taken)) if taken else Undefined(lacking)


K = TypeVar("K", bound=Hashable)

LISTS = frozenset({ExerciseKind.CANDIDATES, ExerciseKind.OWN_PROBE})
"""Exercises that are answered with a pick from a list of candidates."""

PLAIN_PAIRS = PAIRS - {ExerciseKind.AIDED, ExerciseKind.LOW_PREVALENCE}
"""Pair exercises in which nothing but the photos moves a trainee."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The trials by their outcome."""

    shown: int  # all
    answered: int  # with an answer, nobody in them known to the trainee; these are in the figures
    unanswered: int  # shown and left without an answer
    known_to_me: int  # in no figure, as the trainee knows somebody shown; answered or not
    unscored: int  # of the answered, those of unknown truth
    paused: int  # of the answered, those with a pause in them, whose time is in no figure


def judged(results: Iterable[Result]) -> tuple[Result, ...]:
    """The trials that figures are made of: answered, and nobody in them known to the trainee."""
    return tuple(one for one in results if one.answer and not one.known_to_me)


def count(results: Sequence[Result]) -> Counts:
    """Count the trials by their outcome."""
    kept = judged(results)
    known = sum(one.known_to_me for one in results)
    return Counts(
        shown=len(results),
        answered=len(kept),
        unanswered=len(results) - known - len(kept),
        known_to_me=known,
        unscored=sum(not one.truth for one in kept),
        paused=sum(one.paused for one in kept),
    )


def pairs(results: Iterable[Result]) -> tuple[Result, ...]:
    """The judged trials that are rated pairs of known truth."""
    return tuple(
        one
        for one in judged(results)
        if one.exercise in PAIRS and one.rating is not None and one.truth in ("same", "different")
    )


def plain_pairs(results: Iterable[Result]) -> tuple[Result, ...]:
    """The rated pairs in which nothing but the photos moves a trainee: neither advice nor how rare they are.

    Those of adaptive blocks are left out as well. They become harder for trainees who do well, so that all seem alike:
    a true d' of 3.3 comes out as 2.7, and one of .8 as 1.0 (simulated).
    """
    return tuple(one for one in pairs(results) if one.exercise in PLAIN_PAIRS and not one.adaptive)


def of_exercises(results: Iterable[Result], kinds: frozenset[ExerciseKind]) -> tuple[Result, ...]:
    """The judged trials of known truth of some exercises."""
    return tuple(one for one in judged(results) if one.exercise in kinds and one.truth)


def first_of_items(results: Iterable[Result]) -> tuple[Result, ...]:
    """The first trial of each item: the machine says one thing about it, however many trainees judged it.

    Each own probe is an item of its own, as each trainee sends another photo.
    """
    found: dict[tuple[str, ...], Result] = {}
    for one in results:
        own = (one.trainee_id, str(one.ordinal)) if one.exercise == ExerciseKind.OWN_PROBE else ()
        found.setdefault((one.form, one.item_id, *own), one)
    return tuple(found.values())


def grouped(results: Iterable[Result], key: Callable[[Result], K]) -> dict[K, list[Result]]:
    """Group trials by a key, in the order in which they come."""
    found: dict[K, list[Result]] = {}
    for one in results:
        found.setdefault(key(one), []).append(one)
    return found
