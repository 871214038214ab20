"""Candidate lists: right picks, foils, false alarms, and lists that were left inconclusive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fr_core.scoring.intervals import Rate
from fr_training.grading.errors import WithUndecided, with_undecided
from fr_training.grading.splitting import by, of_items
from fr_training.grading.values import Maybe, Times, share, times
from fr_training.results import Result


@dataclass(frozen=True, slots=True)
class PickFigures:
    """Picks from lists.

    Attributes:
        candidates: of each list; 0 where lists of several lengths are together.
        present: lists that hold the person searched for.
        absent: lists that do not.
        right: the person was picked, of `present` (TPIR of picks).
        foils: somebody else was picked, of `present`: worse than a miss, as it points to a wrong person.
        missed: "none" was answered, of `present`.
        false_alarms: somebody was picked, of `absent` (FPIR of picks).
        inconclusive: lists that were left inconclusive, of all.
        wrong: wrong decisions, of all lists and of those that were decided.
    """

    candidates: int
    present: int
    absent: int
    right: Maybe[Rate]
    foils: Maybe[Rate]
    missed: Maybe[Rate]
    false_alarms: Maybe[Rate]
    inconclusive: Maybe[Rate]
    wrong: WithUndecided


@dataclass(frozen=True, slots=True)
class ListFigures:
    """Of candidate lists.

    Attributes:
        picks: of all lists of known truth.
        by_length: of each length, shortest first.
        unscored: lists of which nobody knows what is right; in no other figure.
        machine_first: lists in which the machine ranks the mate first, of those with a mate, each counted once.
        times: of right and of wrong decisions.
    """

    picks: PickFigures
    by_length: tuple[PickFigures, ...]
    unscored: int
    machine_first: Maybe[Rate]
    times: Times


def list_figures(lists: Sequence[Result]) -> ListFigures:
    """Of judged lists, those of unknown truth included."""
    scored = [one for one in lists if one.truth]
    lengths = sorted(by(scored, lambda one: one.candidates).items())
    ranked = [one.mate_rank for one in of_items(scored) if one.mate_rank is not None]
    return ListFigures(
        picks=_picks(scored, 0),
        by_length=tuple(_picks(some, length) for length, some in lengths),
        unscored=len(lists) - len(scored),
        machine_first=share(sum(rank == 1 for rank in ranked), len(ranked), "lists with a ranked mate"),
        times=times(scored),
    )


def _picks(lists: Sequence[Result], length: int) -> PickFigures:
    present = [one for one in lists if one.truth != "absent"]
    absent = [one for one in lists if one.truth == "absent"]
    decided = [one for one in lists if one.answer != "inconclusive"]
    right = sum(one.correct is True for one in present)
    picked = sum(_is_pick(one) for one in present)
    wrong = sum(one.correct is False for one in decided)
    return PickFigures(
        candidates=length,
        present=len(present),
        absent=len(absent),
        right=share(right, len(present), "lists that hold the person"),
        foils=share(picked - right, len(present), "lists that hold the person"),
        missed=share(sum(one.answer == "none" for one in present), len(present), "lists that hold the person"),
        false_alarms=share(sum(map(_is_pick, absent)), len(absent), "lists without the person"),
        inconclusive=share(len(lists) - len(decided), len(lists), "lists of known truth"),
        wrong=with_undecided(len(decided) - wrong, wrong, len(lists), "lists of known truth"),
    )


def _is_pick(one: Result) -> bool:
    return one.answer not in ("none", "inconclusive", "")
