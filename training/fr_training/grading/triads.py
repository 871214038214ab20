"""Triads: which of three is the odd one out. They tell ability without the bias that pairs mix with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fr_core.scoring.intervals import Rate
from fr_training.grading.abilities import ability
from fr_training.grading.splitting import of_items
from fr_training.grading.values import Maybe, Times, share, times
from fr_training.results import Result
from fr_training.statistics.item_response import Ability

CHANCE = 1 / 3
"""Share of right answers of somebody who guesses."""


@dataclass(frozen=True, slots=True)
class TriadFigures:
    """Of triads.

    Attributes:
        trials: answered.
        right: share of right answers; guessing gives a third.
        better_than_guessing: whether the whole interval of `right` lies above a third.
        ability: Rasch, with a guess rate of a third.
        machine: share that the machine has right, of the same triads, each counted once.
        times: of right and of wrong answers.
    """

    trials: int
    right: Maybe[Rate]
    better_than_guessing: bool
    ability: Maybe[Ability]
    machine: Maybe[Rate]
    times: Times


def triad_figures(triads: Sequence[Result]) -> TriadFigures:
    """Of judged triads of one trainee, or of several together."""
    right = share(sum(one.correct is True for one in triads), len(triads), "triads")
    by_machine = [one for one in of_items(triads) if one.machine]
    return TriadFigures(
        trials=len(triads),
        right=right,
        better_than_guessing=isinstance(right, Rate) and right.interval.low > CHANCE,
        ability=ability(triads, CHANCE),
        machine=share(sum(one.machine == one.truth for one in by_machine), len(by_machine), "triads with its opinion"),
        times=times(triads),
    )
