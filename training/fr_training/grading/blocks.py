"""Computes the figures of one block, of one test, or of all trials together, by the kind of exercise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fr_training.courses import Course
from fr_training.grading import kinds
from fr_training.grading.pairs import PairFigures, pair_figures
from fr_training.grading.scores import Score, score
from fr_training.grading.values import LISTS, Counts, Maybe, count, grouped, judged, of_exercises, pairs, plain_pairs
from fr_training.plan import OCCASIONS
from fr_training.prompts import ExerciseKind
from fr_training.trials import Result


@dataclass(frozen=True, slots=True)
class KindFigures:
    """The figures of some trials, by the kind of exercise; None where no trial of the kind was answered."""

    pairs: PairFigures | None  # of two photos
    triads: kinds.TriadFigures | None  # of three
    lists: kinds.ListFigures | None  # of candidates
    triage: kinds.TriageFigures | None  # of photos by quality
    labs: kinds.LabFigures | None = None  # of the machine's errors
    evidence: kinds.EvidenceTaskFigures | None = None  # of evidence exercises
    lessons: kinds.LessonFigures | None = None  # of the questions of lessons


@dataclass(frozen=True, slots=True)
class BlockFigures:
    """One block."""

    block_id: str  # of the plan
    title: str  # as the plan has it, for people
    sitting: str  # its name
    exercise: str  # what was done
    test: str  # "pre", "post", "retention", or "" where the block is no test
    feedback: bool  # whether what was right was told after each answer
    counts: Counts  # what became of the trials
    figures: KindFigures  # of them


@dataclass(frozen=True, slots=True)
class OccasionFigures:
    """One test: all blocks that measure on one occasion."""

    test: str  # "pre", "post" or "retention"
    counts: Counts  # what became of the trials
    score: Maybe[float]  # percent correct of all its pairs together
    figures: KindFigures  # of its trials


def together(results: Sequence[Result]) -> KindFigures:
    """The figures of all trials; of pairs only the plain ones, see `values.PLAIN_PAIRS`."""
    return _by_kind(results, plain_pairs(results))


def block_figures(course: Course, results: Iterable[Result]) -> tuple[BlockFigures, ...]:
    """The figures of each block with a trial, in the order of the plan; blocks that the plan lacks come last."""
    shown = grouped(results, lambda one: one.block_id)
    titles = {block.block_id: block.title for block in course.plan.blocks}
    order = [*(block for block in titles if block in shown), *(block for block in shown if block not in titles)]
    return tuple(_block(shown[block], titles.get(block, block)) for block in order)


def occasion_figures(results: Iterable[Result]) -> tuple[OccasionFigures, ...]:
    """The figures of each test with a trial, in the order of OCCASIONS."""
    shown = grouped((one for one in results if one.test), lambda one: one.test)
    return tuple(_test(test, shown[test]) for test in OCCASIONS if test in shown)


def _block(shown: Sequence[Result], title: str) -> BlockFigures:
    one = shown[0]
    return BlockFigures(
        block_id=one.block_id,
        title=title,
        sitting=one.sitting,
        exercise=one.exercise.value,
        test=one.test,
        feedback=one.feedback,
        counts=count(shown),
        figures=_by_kind(shown, pairs(shown)),
    )


def _test(test: str, shown: Sequence[Result]) -> OccasionFigures:
    rated = pairs(shown)
    found = score(rated)
    percent = found.percent if isinstance(found, Score) else found
    return OccasionFigures(test=test, counts=count(shown), score=percent, figures=_by_kind(shown, rated))


def _by_kind(shown: Sequence[Result], rated: Sequence[Result]) -> KindFigures:
    triads = of_exercises(shown, frozenset({ExerciseKind.TRIAD}))
    lists = tuple(one for one in judged(shown) if one.exercise in LISTS)
    photos = of_exercises(shown, frozenset({ExerciseKind.TRIAGE}))
    labs = of_exercises(shown, frozenset({ExerciseKind.LAB}))
    evidence = of_exercises(shown, frozenset({ExerciseKind.EVIDENCE}))
    lessons = of_exercises(shown, frozenset({ExerciseKind.LESSON}))
    return KindFigures(
        pairs=pair_figures(rated) if rated else None,
        triads=kinds.triad_figures(triads) if triads else None,
        lists=kinds.list_figures(lists) if lists else None,
        triage=kinds.triage_figures(photos) if photos else None,
        labs=kinds.lab_figures(labs) if labs else None,
        evidence=kinds.evidence_figures(evidence) if evidence else None,
        lessons=kinds.lesson_figures(lessons) if lessons else None,
    )
