"""What a trainee's figures come to, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_core.scoring.human.change import Change, Verdict
from fr_core.training.grading.figures import TraineeFigures, Words
from fr_core.training.grading.standing import ChangeFigures, StandingFigures
from fr_core.training.grading.values import Undefined
from fr_core.training.grading.words import YOU, bias, ceiling, left_out, practise, went_well

TESTS = {"pre": "the first test", "post": "the last test", "retention": "the test weeks later"}


def trainee_words(figures: TraineeFigures) -> Words:
    """The sentences of a trainee."""
    pairs = figures.together.pairs
    return Words(
        went_well=went_well(YOU, figures.together, figures.aided),
        bias=bias(YOU, pairs, figures.aided, figures.prevalence),
        practise=practise(YOU, figures.together, figures.aided),
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
    beyond = {
        Verdict.BETTER: "This is more than chance: you did better.",
        Verdict.WORSE: "This is more than chance: you did worse.",
        Verdict.NO_RELIABLE_CHANGE: "This is not more than chance.",
    }[found.verdict]
    return (
        f"from {found.before:.1f} to {found.after:.1f} % right, {found.points:+.1f} points. {beyond} A change must "
        f"exceed {found.needed:.1f} points to be reliable in tests of so many pairs."
    )


def _standing(found: StandingFigures) -> Iterable[str]:
    if isinstance(found.percentile_in_cohort, float):
        yield (
            f"In {TESTS.get(found.test, found.test)} {found.percentile_in_cohort:.0f} % of the {found.cohort} trainees "
            "of your cohort scored below you (equal scores count one half)."
        )
