"""Scores tests: change from test to test, the place among others, and learning over the trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fr_core.scoring.intervals import wilson_interval
from fr_locales.messages import Message, message
from fr_training.courses import Course
from fr_training.grading.rates import sensitivity_of
from fr_training.grading.values import (
    LISTS,
    Maybe,
    Undefined,
    grouped,
    judged,
    of_exercises,
    pairs,
    plain_pairs,
    unless_undefined,
)
from fr_training.plan import OCCASIONS
from fr_training.prompts import ExerciseKind
from fr_training.statistics import change
from fr_training.statistics.learning import CurvePoint, cohort_curve, person_curve, stretches
from fr_training.statistics.signal_detection import Difference, difference
from fr_training.trials import Result

MIN_SCORED = 10  # pairs below which a test has no score: one pair would move it by ten points and more

MIN_FOR_NORM = 40
"""Pairs below which a score has no percentile of a published test: its own interval would cover most of the field."""

MIN_COHORT = 5  # trainees with a score below which nobody is placed among them: who is who would be plain

OTHER_TEST = message("standing.other_test")


@dataclass(frozen=True, slots=True)
class ChangeFigures:
    """The change from one test to a later one."""

    first: str  # "pre", or the earliest test that there is
    second: str  # the later one
    # Change of percent correct. It is reliable where it is more than two forms of so many pairs differ by chance, and
    # more than a published test of this kind differs when it is taken again.
    score: Maybe[change.Change] | None  # None where neither test has a pair
    norm: Message  # title of that test, whose SD and retest correlation are used
    sensitivity: Maybe[Difference] | None  # change of d' and of c, likewise
    # Change of percent correct of triads, and of decisions on lists, beyond what chance makes of so many answers; no
    # published test says how people differ in them. None where neither test has one.
    triads: Maybe[change.Change] | None
    lists: Maybe[change.Change] | None


@dataclass(frozen=True, slots=True)
class NormFigures:
    """A published figure beside the trainee's."""

    title: Message  # of the test or of the people
    unit: Message  # of the value
    value: float  # mean or median, in its unit
    sd: float | None  # among people; None where it was not found
    percentile: Maybe[float]  # share of people of that test below the trainee's score, in percent
    # The same of the lower end of the score's own interval; None where there is no percentile.
    percentile_low: float | None
    percentile_high: float | None  # of its upper end
    source: str  # where the figure was published
    from_memory: bool  # whether the figure was not looked up in its source
    caution: Message  # that it is another test


@dataclass(frozen=True, slots=True)
class StandingFigures:
    """The place of a score among others."""

    test: str  # "pre", "post" or "retention": the first that has a score; "" where none has
    score: Maybe[float]  # percent correct of its pairs
    cohort: int  # trainees who have a score of that test, this one included
    percentile_in_cohort: Maybe[float]  # share of them below, in percent; those who are equal count one half
    # The share below the lower end of the score's own interval; None where there is no percentile.
    percentile_low: float | None
    percentile_high: float | None  # the share below its upper end, or at it
    norms: tuple[NormFigures, ...]  # published figures


@dataclass(frozen=True, slots=True)
class Score:
    """Answers of a test, of one kind: pairs, triads or lists."""

    right: int  # that were right; the undecided are not
    pairs: int  # all of them, at least MIN_SCORED

    @property
    def percent(self) -> float:
        """Percent correct."""
        return 100.0 * self.right / self.pairs

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of it, percent correct."""
        found = wilson_interval(self.right, self.pairs)
        return 100.0 * found.low, 100.0 * found.high


Kind = Literal["pairs", "triads", "lists"]  # of the answers that a test scores apart from each other


def of_kind(results: Iterable[Result], kind: Kind) -> tuple[Result, ...]:
    """The judged trials of known truth of a kind."""
    if kind == "pairs":
        return pairs(results)
    return of_exercises(results, frozenset({ExerciseKind.TRIAD}) if kind == "triads" else LISTS)


def score(answers: Sequence[Result], kind: Kind = "pairs") -> Maybe[Score]:
    """Score answers of a kind; undefined where there are too few."""
    if len(answers) < MIN_SCORED:
        return _too_few(kind)
    return Score(sum(one.correct is True for one in answers), len(answers))


def changes(results: Sequence[Result]) -> tuple[ChangeFigures, ...]:
    """The change from the first test that the trainee took to each later one."""
    tested = grouped((one for one in judged(results) if one.test), lambda one: one.test)
    taken = [test for test in OCCASIONS if test in tested]
    return tuple(_change(taken[0], tested[taken[0]], second, tested[second]) for second in taken[1:])


def _change(first: str, before: Sequence[Result], second: str, after: Sequence[Result]) -> ChangeFigures:
    def of(kind: Kind) -> Maybe[change.Change] | None:
        answers = of_kind(before, kind), of_kind(after, kind)
        earlier, later = (score(some, kind) for some in answers)
        return change_of_score(earlier, later, kind) if any(answers) else None

    rated = pairs(before), pairs(after)
    moved = unless_undefined(lambda: difference(sensitivity_of(rated[1]), sensitivity_of(rated[0])))
    return ChangeFigures(
        first=first,
        second=second,
        score=of("pairs"),
        norm=change.GFMT2_SHORT.title,
        sensitivity=moved if any(rated) else None,
        triads=of("triads"),
        lists=of("lists"),
    )


def change_of_score(before: Maybe[Score], after: Maybe[Score], kind: Kind = "pairs") -> Maybe[change.Change]:
    """A change of percent correct, judged by the numbers of answers; of pairs by a published test as well.

    That is the Glasgow Face Matching Test 2, short.
    """
    if isinstance(before, Undefined):
        return before
    if isinstance(after, Undefined):
        return after
    of_tests = (before.right, before.pairs), (after.right, after.pairs)
    if kind != "pairs":
        return change.change_of_tests(*of_tests)
    if change.GFMT2_SHORT.sd is None or change.GFMT2_SHORT.retest is None:
        return Undefined(message("undefined.no_retest"))
    return change.change_of_tests(*of_tests, change.GFMT2_SHORT.sd, change.GFMT2_SHORT.retest)


def scores_by_test(results: Iterable[Result], kind: Kind = "pairs") -> dict[str, Score]:
    """The score of one trainee in each test that has one of a kind, in the order of the tests."""
    taken = grouped((one for one in of_kind(results, kind) if one.test), lambda one: one.test)
    found = {test: score(taken.get(test, ()), kind) for test in OCCASIONS}
    return {test: value for test, value in found.items() if not isinstance(value, Undefined)}


def standing(own: Mapping[str, Score], cohort: Sequence[Mapping[str, Score]]) -> StandingFigures:
    """Place a trainee among others, this one included, in the first test that has a score; see `scores_by_test`."""
    test = next(iter(own), "")
    mine: Maybe[float] = own[test].percent if test else _too_few()
    others = np.array([one[test].percent for one in cohort if test in one], dtype=np.float64)
    percentile: Maybe[float] = Undefined(message("undefined.few_scores", least=MIN_COHORT))
    if isinstance(mine, Undefined):
        percentile = mine
    elif len(others) >= MIN_COHORT:
        percentile = change.percentile_in(mine, others)
    placed = test and not isinstance(percentile, Undefined)
    low, high = own[test].interval if placed else (None, None)
    return StandingFigures(
        test=test,
        score=mine,
        cohort=len(others),
        percentile_in_cohort=percentile,
        percentile_low=None if low is None else 100.0 * float((others < low).mean()),
        percentile_high=None if high is None else 100.0 * float((others <= high).mean()),
        norms=tuple(_of_norm(norm, own[test] if test else _too_few()) for norm in change.NORMS),
    )


def _too_few(kind: Kind = "pairs") -> Undefined:
    return Undefined(
        {
            "pairs": message("undefined.few_for_score", least=MIN_SCORED),
            "triads": message("undefined.few_triads_for_score", least=MIN_SCORED),
            "lists": message("undefined.few_lists_for_score", least=MIN_SCORED),
        }[kind]
    )


def _of_norm(norm: change.Norm, own: Maybe[Score]) -> NormFigures:
    percentile: Maybe[float]
    low = high = None
    if isinstance(own, Undefined):
        percentile = own
    elif norm.unit != change.PERCENT_CORRECT or norm.sd is None:
        percentile = Undefined(message("undefined.no_spread_published"))
    elif own.pairs < MIN_FOR_NORM:
        percentile = Undefined(message("undefined.few_for_norm", least=MIN_FOR_NORM))
    else:
        percentile, low, high = (
            change.percentile_of_norm(score, norm.value, norm.sd) for score in (own.percent, *own.interval)
        )
    return NormFigures(
        title=norm.title,
        unit=norm.unit,
        value=norm.value,
        sd=norm.sd,
        percentile=percentile,
        percentile_low=low,
        percentile_high=high,
        source=norm.source,
        from_memory=norm.from_memory,
        caution=OTHER_TEST,
    )


STRETCH = 20  # trials of a point of the curve; at fewer, the band is wider than what anybody learns


@dataclass(frozen=True, slots=True)
class LearningFigures:
    """Right answers over trials: plain pairs, in the order of the blocks.

    Adaptive blocks are left out, as they hold the share of right answers at their target, and so is blind verification,
    as others chose its pairs. The forms of different blocks need not be equally hard: a curve may rise where pairs get
    easier.
    """

    trainees: int  # whose answers these are
    trials: int  # of the trainee with the most
    points: tuple[CurvePoint, ...]  # a stretch of trials each, in each trainee's own order


def in_order(results: Sequence[Result]) -> list[bool]:
    """True for each right answer to the pairs of a learning curve, in the order in which they came."""
    used = [one for one in plain_pairs(results) if one.exercise != ExerciseKind.BLIND]
    return [one.correct is True for one in sorted(used, key=lambda one: (one.shown_ms, one.ordinal))]


def trainee_learning(course: Course, results: Sequence[Result]) -> Maybe[LearningFigures]:
    """The learning of one trainee."""
    right = np.array(in_order(results), dtype=np.bool_)
    rng = np.random.default_rng([course.seed, 3])
    return unless_undefined(
        lambda: LearningFigures(1, len(right), person_curve(right, stretches(len(right), STRETCH), rng))
    )


def cohort_learning(course: Course, cohort: Mapping[str, Sequence[Result]]) -> Maybe[LearningFigures]:
    """The learning of all trainees together; the band resamples trainees, whose answers go together."""
    found = [right for results in cohort.values() if (right := in_order(results))]
    if not found:
        return Undefined(message("none.rated_pairs"))
    answers = np.full((len(found), max(map(len, found))), np.nan)
    for row, right in zip(answers, found, strict=True):
        row[: len(right)] = right
    rng = np.random.default_rng([course.seed, 3])
    bounds = stretches(answers.shape[1], STRETCH)
    return unless_undefined(lambda: LearningFigures(len(found), answers.shape[1], cohort_curve(answers, bounds, rng)))
