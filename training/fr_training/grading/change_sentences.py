"""Sums changes from test to test up in messages, of a trainee and of a cohort."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate
from fr_locales.messages import Message, Written, message
from fr_training.grading.figures import CohortChange
from fr_training.grading.scores import ChangeFigures, StandingFigures
from fr_training.grading.values import Undefined
from fr_training.statistics.change import Change
from fr_training.statistics.change import Verdict as ChangeVerdict
from fr_training.statistics.estimates import Estimate

SIGNIFICANT = 0.05
TESTS = {"pre": message("test.pre"), "post": message("test.post"), "retention": message("test.retention")}
TRIADS, LISTS = message("change.of_triads"), message("change.of_lists")


def changes_of(changes: Sequence[ChangeFigures]) -> Iterable[Message]:
    """Sentences on the changes of a trainee, one for each kind of test."""
    for one in changes:
        yield from _change(one)


def _change(one: ChangeFigures) -> Iterable[Message]:
    first, second = TESTS[one.first], TESTS[one.second]
    for kind, found in ((None, one.score), (TRIADS, one.triads), (LISTS, one.lists)):
        if isinstance(found, Change):
            yield _changed(found, first, second, kind)
        elif isinstance(found, Undefined):
            yield message("change.unknown", first=first, second=second, reason=found.reason)


def _changed(found: Change, first: Message, second: Message, kind: Message | None) -> Message:
    before, after, points, needed = found.before, found.after, found.points, found.needed
    went = message("change.points", first=first, second=second, before=before, after=after, points=points)
    if kind is not None:
        went = message("change.points_of", kind=kind, went=went)
    return {
        ChangeVerdict.NO_RELIABLE_CHANGE: message("change.by_chance", went=went, needed=needed),
        ChangeVerdict.BETTER: message("change.better", went=went, needed=needed),
        ChangeVerdict.WORSE: message("change.worse", went=went, needed=needed),
    }[found.verdict]


def standing(found: StandingFigures) -> Iterable[Message]:
    """Where a trainee stands in the cohort, with the range that the interval of the score gives."""
    low, high = found.percentile_low, found.percentile_high
    if isinstance(found.percentile_in_cohort, float) and low is not None and high is not None:
        yield message(
            "standing.cohort",
            test=TESTS[found.test],
            percentile=found.percentile_in_cohort,
            scores=found.cohort,
            low=low,
            high=high,
        )


def cohort_changes(changes: Sequence[CohortChange]) -> Iterable[Message]:
    """Sentences on the changes of a cohort: verdicts, how many scores rose and fell, and the mean."""
    for one in changes:
        if isinstance(one.better, Rate) and isinstance(one.worse, Rate):
            yield message(
                "change.cohort",
                first=TESTS[one.first],
                second=TESTS[one.second],
                trainees=message("count.trainees", count=one.trainees),
                better=one.better.count,
                worse=one.worse.count,
                needed=one.needed,
                by_chance=_by_chance(one.trainees),
                scores=_rose_and_fell(one),
            )
            for kind, mean in ((None, one.mean_points), (TRIADS, one.triads), (LISTS, one.lists)):
                if isinstance(mean, Estimate):
                    yield _mean_change(mean, kind)


def _mean_change(mean: Estimate, kind: Message | None) -> Message:
    points, low, high = mean.value, mean.low, mean.high
    went = message("change.mean", points=points, low=low, high=high)
    if kind is not None:
        went = message("change.points_of", kind=kind, went=went)
    if low > 0.0:
        return message("change.mean_better", went=went)
    return message("change.mean_worse", went=went) if high < 0.0 else message("change.mean_by_chance", went=went)


def _rose_and_fell(one: CohortChange) -> Message:
    if isinstance(one.p_value, Undefined) or one.p_value >= SIGNIFICANT:
        return message("change.scores_by_chance", rose=one.rose, fell=one.fell)
    if one.rose > one.fell:
        return message("change.scores_rose", rose=one.rose, fell=one.fell)
    return message("change.scores_fell", rose=one.rose, fell=one.fell)


def _by_chance(trainees: int) -> Written:
    """The number of wrong verdicts to expect at 95 % confidence."""
    expected = trainees * (1.0 - DEFAULT_CONFIDENCE)
    return Written(f"{expected:.1f}" if expected < 9.95 else f"{expected:,.0f}")
