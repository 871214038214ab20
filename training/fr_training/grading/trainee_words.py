"""What a trainee's figures come to, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_training.grading.certainty import of_trainee
from fr_training.grading.figures import TraineeFigures, Words
from fr_training.grading.practise_words import practise
from fr_training.grading.scores import ChangeFigures, StandingFigures
from fr_training.grading.values import Undefined
from fr_training.grading.words import YOU, bias, ceiling, left_out, went_well
from fr_training.statistics.change import Change, Verdict

TESTS = {"pre": "the first test", "post": "the last test", "retention": "the test weeks later"}


def trainee_words(figures: TraineeFigures) -> Words:
    """The sentences of a trainee."""
    pairs = figures.together.pairs
    surely = of_trainee(figures.together, figures.aided, figures.prevalence)
    return Words(
        went_well=went_well(YOU, figures.together, figures.aided, surely),
        bias=bias(YOU, pairs, figures.aided, figures.prevalence, surely),
        practise=practise(YOU, figures.together, figures.aided, surely),
        change=(*_changes(figures.changes), *_standing(figures.standing)),
        limits=(*left_out(figures.counts), *ceiling(YOU, pairs)),
    )


def _changes(changes: Sequence[ChangeFigures]) -> Iterable[str]:
    for one in changes:
        between = f"From {TESTS.get(one.first, one.first)} to {TESTS.get(one.second, one.second)}"
        if isinstance(one.score, Undefined):
            yield f"{between}, whether you changed cannot be said: {one.score.reason}"
            continue
        yield f"{between} you went {_points(one.score)}"


def _points(found: Change) -> str:
    points = f"from {found.before:.1f} to {found.after:.1f} % right, {found.points:+.1f} points."
    if found.verdict == Verdict.NO_RELIABLE_CHANGE:
        return (
            f"{points} Chance alone can make it; a real change of less than {found.needed:.1f} points would not show "
            "in tests of so many pairs."
        )
    return (
        f"{points} This is more than chance: you did {found.verdict.value}. A change must exceed {found.needed:.1f} "
        "points to be reliable in tests of so many pairs."
    )


def _standing(found: StandingFigures) -> Iterable[str]:
    if isinstance(found.percentile_in_cohort, float):
        yield (
            f"In {TESTS.get(found.test, found.test)} you stand at {found.percentile_in_cohort:.0f} of 100 among the "
            f"{found.cohort} scores of your cohort, your own included: lower ones count whole, equal ones one half. "
            f"By the interval of your score it may be {found.percentile_low:.0f} to {found.percentile_high:.0f}."
        )
