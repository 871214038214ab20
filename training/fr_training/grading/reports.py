"""Computes all figures of one trainee, and of a cohort."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from fr_core.scoring.checks import F64
from fr_locales.messages import message
from fr_training.courses import Course
from fr_training.errors import NothingToReport
from fr_training.grading.ability import ClassAbilities, ability_figures, class_abilities, theta_of
from fr_training.grading.advice import aided_figures, prevalence_figures
from fr_training.grading.blocks import block_figures, occasion_figures, together
from fr_training.grading.figures import (
    AS_PLANNED,
    CohortChange,
    CohortFigures,
    Conduct,
    Distribution,
    Extension,
    TraineeFigures,
    TraineeRow,
    Words,
)
from fr_training.grading.fusion import crowds, pairing
from fr_training.grading.groups import group_figures
from fr_training.grading.items import item_rows
from fr_training.grading.rates import Known, Roc, error_figures, roc_of_ratings
from fr_training.grading.scores import (
    MIN_COHORT,
    Score,
    change_of_score,
    changes,
    cohort_learning,
    scores_by_test,
    standing,
    trainee_learning,
)
from fr_training.grading.sentences import cohort_words, trainee_words
from fr_training.grading.trainee_means import own_figures
from fr_training.grading.values import Maybe, Undefined, count, judged, plain_pairs, share, unless_undefined
from fr_training.grading.verification import agreement_figures, first_judgements
from fr_training.plan import OCCASIONS
from fr_training.statistics.agreement import icc_agreement, icc_consistency, mcnemar
from fr_training.statistics.change import GFMT2_SHORT, Change, Verdict
from fr_training.statistics.clustered import mean_of_people
from fr_training.statistics.estimates import Estimate
from fr_training.trials import Result, Session


def conduct_of(course: Course, sessions: Iterable[Session], closed: Collection[str]) -> Conduct:
    """The changes of the trainer for these sessions, and which sittings are `closed`, by their names."""
    added: dict[str, list[int]] = {}
    for session in sessions:
        for block_id, more_ms in session.extended.items():
            added.setdefault(block_id, []).append(more_ms)
    return Conduct(
        extended=tuple(
            Extension(one.block_id, one.title, len(more), max(more) / 60_000)
            for one in course.plan.blocks
            if (more := added.get(one.block_id))
        ),
        closed=tuple(one.title or one.name for one in course.plan.sittings if one.name in closed),
    )


def trainee_figures(
    course: Course, results: Sequence[Result], cohort: Mapping[str, Sequence[Result]], conduct: Conduct = AS_PLANNED
) -> TraineeFigures:
    """The figures of one trainee, of the results of all sessions.

    Of a cohort of fewer than `MIN_COHORT` trainees nothing is told but agreement with a partner; the trainee may be
    among the cohort, by pseudonym.

    Raises:
        NothingToReport: there is no result of the trainee.
    """
    if not results:
        raise NothingToReport(message("error.report.trainee_without_trial"))
    trainee = results[0].trainee_id
    everybody = dict(sorted({**cohort, trainee: results}.items()))  # who is named when draws nothing else
    mine = {one.form for one in plain_pairs(results)}
    on_my_forms = {name: [one for one in some if one.form in mine] for name, some in everybody.items()}
    figures = TraineeFigures(
        trainee_id=trainee,
        words=Words(),
        counts=count(results),
        together=together(results),
        blocks=block_figures(course, results),
        tests=occasion_figures(results),
        ability=ability_figures(results, class_abilities(everybody)),
        changes=changes(results),
        standing=standing(scores_by_test(results), [scores_by_test(some) for some in everybody.values()]),
        learning=trainee_learning(course, results),
        aided=aided_figures(results, course.seed),
        prevalence=prevalence_figures(results),
        groups=group_figures(plain_pairs(results), course.seed),
        verification=agreement_figures(results, first_judgements(cohort)),
        cohort_roc=_roc_of(everybody),
        crowds=crowds(on_my_forms, course.seed, most_forms=1, least_trainees=MIN_COHORT),
        conduct=conduct,
    )
    return replace(figures, words=trainee_words(figures))


def _roc_of(everybody: Mapping[str, Sequence[Result]]) -> Maybe[Roc]:
    rated = [some for results in everybody.values() if (some := plain_pairs(results))]
    if len(rated) < MIN_COHORT:
        return Undefined(message("undefined.small_cohort", least=MIN_COHORT))
    return roc_of_ratings([one for some in rated for one in some])


QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def cohort_figures(
    course: Course, results: Mapping[str, Sequence[Result]], conduct: Conduct = AS_PLANNED
) -> CohortFigures:
    """The figures of a cohort, of the results of each trainee by pseudonym; trainees without a result are left out.

    Without any result it raises NothingToReport.
    """
    shown = {trainee: some for trainee, some in sorted(results.items()) if some}
    if not shown:
        raise NothingToReport(message("error.report.cohort_without_trial"))
    pooled = list(chain.from_iterable(shown.values()))
    known: Known = {}
    abilities = class_abilities(shown)
    rows = tuple(_row(trainee, some, known, abilities) for trainee, some in shown.items())
    items = item_rows(shown)
    figures = CohortFigures(
        trainees=len(shown),
        words=Words(),
        counts=count(pooled),
        together=together(pooled),
        own=own_figures(shown, {row.trainee_id: row.sensitivity for row in rows}),
        blocks=block_figures(course, pooled),
        tests=occasion_figures(pooled),
        rows=rows,
        distributions=_distributions(rows),
        changes=_changes(list(shown.values())),
        learning=cohort_learning(course, shown),
        aided=aided_figures(pooled, course.seed),
        prevalence=prevalence_figures(pooled),
        groups=group_figures(plain_pairs(pooled), course.seed),
        verification=agreement_figures(pooled, first_judgements(shown)),
        crowds=crowds(shown, course.seed),
        pairing=pairing(
            shown, {row.trainee_id: row.ability.value for row in rows if isinstance(row.ability, Estimate)}
        ),
        items=items,
        quarantined=tuple(one.item_id for one in items if one.quarantined),
        conduct=conduct,
    )
    return replace(figures, words=cohort_words(figures))


def _row(trainee: str, results: Sequence[Result], known: Known, abilities: ClassAbilities) -> TraineeRow:
    errors = error_figures(plain_pairs(results), known)
    return TraineeRow(
        trainee_id=trainee,
        answered=len(judged(results)),
        misses=errors.misses.of_all,
        false_same=errors.false_same.of_all,
        sensitivity=errors.sensitivity,
        ability=theta_of(results, abilities),
        scores={test: one.percent for test, one in scores_by_test(results).items()},
    )


def _distributions(rows: Sequence[TraineeRow]) -> tuple[Distribution, ...]:
    scores = {test: [row.scores[test] for row in rows if test in row.scores] for test in OCCASIONS}
    return tuple(
        Distribution(test, len(some), *np.quantile(some, QUARTERS).tolist()) for test, some in scores.items() if some
    )


def _changes(cohort: Sequence[Sequence[Result]]) -> tuple[CohortChange, ...]:
    scores = [scores_by_test(results) for results in cohort]
    taken = [test for test in OCCASIONS if any(test in own for own in scores)]
    first, *later = taken or ("",)
    both = {second: [own for own in scores if first in own and second in own] for second in later}
    return tuple(
        replace(
            _change(first, second, some),
            triads=_mean_change([scores_by_test(results, "triads") for results in cohort], first, second),
            lists=_mean_change([scores_by_test(results, "lists") for results in cohort], first, second),
        )
        for second, some in both.items()
        if some
    )


def _mean_change(scores: Sequence[Mapping[str, Score]], first: str, second: str) -> Maybe[Estimate] | None:
    """The mean of the trainees who have both scores; half of them took the forms the other way round."""
    points = [own[second].percent - own[first].percent for own in scores if first in own and second in own]
    return unless_undefined(lambda: _mean_points(np.array(points, dtype=np.float64))) if points else None


def _mean_points(points: F64) -> Estimate:
    """The mean of changes in percentage points; with few trainees, Student's interval would go beyond 100 points."""
    found = mean_of_people(points)
    return replace(found, low=max(found.low, -100.0), high=min(found.high, 100.0))


def _change(first: str, second: str, scores: Sequence[Mapping[str, Score]]) -> CohortChange:
    judged_changes = [one for some in scores if isinstance(one := change_of_score(some[first], some[second]), Change)]
    table = np.array([[some[first].percent, some[second].percent] for some in scores], dtype=np.float64)
    points = table[:, 1] - table[:, 0]
    rose, fell = int((points > 0).sum()), int((points < 0).sum())
    verdicts = [one.verdict for one in judged_changes]
    lacking = message("none.both_scores")
    return CohortChange(
        first=first,
        second=second,
        trainees=len(scores),
        median_points=float(np.median(points)),
        mean_points=unless_undefined(lambda: _mean_points(points)),
        triads=None,
        lists=None,
        better=share(verdicts.count(Verdict.BETTER), len(verdicts), lacking),
        worse=share(verdicts.count(Verdict.WORSE), len(verdicts), lacking),
        needed=float(np.median([one.needed for one in judged_changes])),
        norm=GFMT2_SHORT.title,
        rose=rose,
        fell=fell,
        p_value=unless_undefined(lambda: mcnemar(rose, fell)),
        agreement=unless_undefined(lambda: icc_agreement(table)),
        consistency=unless_undefined(lambda: icc_consistency(table)),
    )
