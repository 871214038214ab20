"""Whether a trainee gets better as the trials go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fr_training.courses import Course
from fr_training.grading.splitting import unmoved
from fr_training.grading.values import Maybe, Undefined, unless_undefined
from fr_training.prompts import ExerciseKind
from fr_training.results import Result
from fr_training.statistics.learning import CurvePoint, cohort_curve, person_curve, stretches

STRETCH = 20
"""Trials of a point of the curve; at fewer, the band is wider than what anybody learns."""


@dataclass(frozen=True, slots=True)
class LearningFigures:
    """Right answers over trials: rated pairs that nothing but the photos moves, in the order of the blocks.

    Without adaptive blocks, which keep the share of right answers where they aim, and without blind verification, whose
    pairs others chose. The forms of different blocks need not be equally hard: a curve may rise where pairs get easier.

    Attributes:
        trainees: whose answers these are.
        trials: of the trainee with the most.
        points: a stretch of trials each, in each trainee's own order.
    """

    trainees: int
    trials: int
    points: tuple[CurvePoint, ...]


def in_order(course: Course, results: Sequence[Result]) -> list[bool]:
    """Whether each of a trainee's pairs that a curve is of was answered rightly, in the order in which they came."""
    adaptive = {block.block_id for block in course.plan.blocks if block.adaptive}
    used = [one for one in unmoved(results) if one.block_id not in adaptive and one.exercise != ExerciseKind.BLIND]
    return [one.correct is True for one in sorted(used, key=lambda one: (one.shown_ms, one.ordinal))]


def trainee_learning(course: Course, results: Sequence[Result]) -> Maybe[LearningFigures]:
    """Of one trainee."""
    right = np.array(in_order(course, results), dtype=np.bool_)
    rng = np.random.default_rng([course.seed, 3])
    return unless_undefined(
        lambda: LearningFigures(1, len(right), person_curve(right, stretches(len(right), STRETCH), rng))
    )


def cohort_learning(course: Course, cohort: Mapping[str, Sequence[Result]]) -> Maybe[LearningFigures]:
    """Of all trainees together; the band draws trainees, whose answers go together."""
    found = [right for results in cohort.values() if (right := in_order(course, results))]
    if not found:
        return Undefined("No pair was rated.")
    answers = np.full((len(found), max(map(len, found))), np.nan)
    for row, right in zip(answers, found, strict=True):
        row[: len(right)] = right
    rng = np.random.default_rng([course.seed, 3])
    bounds = stretches(answers.shape[1], STRETCH)
    return unless_undefined(lambda: LearningFigures(len(found), answers.shape[1], cohort_curve(answers, bounds, rng)))
