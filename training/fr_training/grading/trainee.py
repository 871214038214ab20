"""The figures of one trainee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fr_locales.messages import message
from fr_training.courses import Course
from fr_training.errors import NothingToReport
from fr_training.grading.advice import aided_figures, prevalence_figures
from fr_training.grading.blocks import block_figures, occasion_figures, together
from fr_training.grading.figures import TraineeFigures, Words
from fr_training.grading.fusion import adaptive_blocks, crowds
from fr_training.grading.groups import group_figures
from fr_training.grading.rates import Roc, roc_of_ratings
from fr_training.grading.scores import MIN_COHORT, changes, scores_by_test, standing, trainee_learning
from fr_training.grading.sentences import trainee_words
from fr_training.grading.values import Maybe, Undefined, count, unmoved
from fr_training.grading.verification import agreement_figures, first_judgements
from fr_training.results import Result

__all__ = ["TraineeFigures", "trainee_figures"]


def trainee_figures(
    course: Course, results: Sequence[Result], cohort: Mapping[str, Sequence[Result]]
) -> TraineeFigures:
    """The figures of one trainee.

    Args:
        course: that was taken.
        results: of the trainee, of all sessions; trials known to the trainee and unanswered ones are counted, and in no
            other figure.
        cohort: results of the trainees of the cohort by pseudonym; this trainee may be among them. Of a cohort of fewer
            than `standing.MIN_COHORT` trainees nothing is told but agreement with a partner.

    Raises:
        NothingToReport: there is no result of the trainee.
    """
    if not results:
        raise NothingToReport("The trainee was shown no trial yet.")
    trainee = results[0].trainee_id
    everybody = dict(sorted({**cohort, trainee: results}.items()))  # who is named when draws nothing else
    mine = {one.form for one in unmoved(results)}
    on_my_forms = {name: [one for one in some if one.form in mine] for name, some in everybody.items()}
    figures = TraineeFigures(
        trainee_id=trainee,
        words=Words(),
        counts=count(results),
        together=together(results),
        blocks=block_figures(course, results),
        tests=occasion_figures(results),
        changes=changes(results),
        standing=standing(scores_by_test(results), [scores_by_test(some) for some in everybody.values()]),
        learning=trainee_learning(course, results),
        aided=aided_figures(results, course.seed),
        prevalence=prevalence_figures(results),
        groups=group_figures(unmoved(results), course.seed),
        verification=agreement_figures(results, first_judgements(cohort)),
        cohort_roc=_roc_of(everybody),
        crowds=crowds(
            on_my_forms, course.seed, most_forms=1, least_trainees=MIN_COHORT, without=adaptive_blocks(course)
        ),
    )
    return replace(figures, words=trainee_words(figures))


def _roc_of(everybody: Mapping[str, Sequence[Result]]) -> Maybe[Roc]:
    rated = [some for results in everybody.values() if (some := unmoved(results))]
    if len(rated) < MIN_COHORT:
        return Undefined(message("undefined.small_cohort", least=MIN_COHORT))
    return roc_of_ratings([one for some in rated for one in some])
