"""Computes the figures of triads, of candidate lists, of triage, of labs, of evidence and of lessons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from fr_core.scoring.intervals import Rate
from fr_locales.messages import message
from fr_training.answers import Usability
from fr_training.grading.rates import WithUndecided, with_undecided
from fr_training.grading.values import Maybe, Times, Undefined, first_of_items, grouped, share, times
from fr_training.statistics.item_response import Ability, eap
from fr_training.trials import Result


def ability(results: Sequence[Result], guessing: float) -> Maybe[Ability]:
    """The expected ability of one trainee under a standard normal prior; an answer that is not right counts as wrong.

    Results whose item has no difficulty are left out. `guessing` is the chance of guessing right, in [0, 1).
    """
    placed = [one for one in results if one.b is not None]
    if not placed:
        return Undefined(message("undefined.no_difficulty"))
    if len({one.trainee_id for one in results}) > 1:
        return Undefined(message("undefined.ability_of_several"))
    b = np.array([one.b for one in placed], dtype=np.float64)
    return eap(b, np.array([one.correct is True for one in placed], dtype=np.bool_), guessing)


CHANCE = 1 / 3  # share of right answers of somebody who guesses


@dataclass(frozen=True, slots=True)
class TriadFigures:
    """The figures of triads."""

    trials: int  # answered
    right: Maybe[Rate]  # share of right answers; guessing gives a third
    better_than_guessing: bool  # whether the whole interval of `right` lies above a third
    ability: Maybe[Ability]  # Rasch, with a guess rate of a third
    machine: Maybe[Rate]  # share that the machine has right, of the same triads, each counted once
    times: Times  # of right and of wrong answers


def triad_figures(triads: Sequence[Result]) -> TriadFigures:
    """Compute the figures of judged triads, of one trainee or of several together."""
    right = share(sum(one.correct is True for one in triads), len(triads), message("none.triads"))
    by_machine = [one for one in first_of_items(triads) if one.machine]
    return TriadFigures(
        trials=len(triads),
        right=right,
        better_than_guessing=isinstance(right, Rate) and right.interval.low > CHANCE,
        ability=ability(triads, CHANCE),
        machine=share(
            sum(one.machine == one.truth for one in by_machine), len(by_machine), message("none.machine_triads")
        ),
        times=times(triads),
    )


@dataclass(frozen=True, slots=True)
class PickFigures:
    """Picks from lists."""

    candidates: int  # of each list; 0 where lists of several lengths are together
    present: int  # lists that hold the person searched for
    absent: int  # lists that do not
    right: Maybe[Rate]  # the person was picked, of `present` (TPIR of picks)
    foils: Maybe[Rate]  # somebody else was picked, of `present`: worse than a miss, as it points to a wrong person
    missed: Maybe[Rate]  # "none" was answered, of `present`
    false_alarms: Maybe[Rate]  # somebody was picked, of `absent` (FPIR of picks)
    inconclusive: Maybe[Rate]  # lists that were left inconclusive, of all
    wrong: WithUndecided  # wrong decisions, of all lists and of those that were decided


@dataclass(frozen=True, slots=True)
class ListFigures:
    """The figures of candidate lists."""

    picks: PickFigures  # of all lists of known truth
    by_length: tuple[PickFigures, ...]  # of each length, shortest first
    unscored: int  # lists of unknown truth; in no other figure
    # Lists in which the machine ranks the mate first, of those with a mate, each counted once.
    machine_first: Maybe[Rate]
    times: Times  # of right and of wrong decisions


def list_figures(lists: Sequence[Result]) -> ListFigures:
    """Compute the figures of judged lists, those of unknown truth included."""
    scored = [one for one in lists if one.truth]
    lengths = sorted(grouped(scored, lambda one: one.candidates).items())
    ranked = [one.mate_rank for one in first_of_items(scored) if one.mate_rank is not None]
    return ListFigures(
        picks=_picks(scored, 0),
        by_length=tuple(_picks(some, length) for length, some in lengths),
        unscored=len(lists) - len(scored),
        machine_first=share(sum(rank == 1 for rank in ranked), len(ranked), message("none.ranked_lists")),
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
        right=share(right, len(present), message("none.lists_with_mate")),
        foils=share(picked - right, len(present), message("none.lists_with_mate")),
        missed=share(sum(one.answer == "none" for one in present), len(present), message("none.lists_with_mate")),
        false_alarms=share(sum(map(_is_pick, absent)), len(absent), message("none.lists_without_mate")),
        inconclusive=share(len(lists) - len(decided), len(lists), message("none.lists")),
        wrong=with_undecided(
            len(decided) - wrong, wrong, len(lists), message("none.lists"), message("undecided.lists")
        ),
    )


def _is_pick(one: Result) -> bool:
    return one.answer not in ("none", "inconclusive", "")


LEVELS = tuple(level.value for level in Usability)  # from usable to reject


@dataclass(frozen=True, slots=True)
class Confusion:
    """Photos of one usability, by what was answered."""

    truth: str
    usable: int
    limited: int
    reject: int


@dataclass(frozen=True, slots=True)
class Degradation:
    """A kind of fault in photos."""

    degraded: str  # its word
    photos: int  # that have it
    judged: Maybe[Rate]  # share that was judged rightly
    named: Maybe[Rate]  # share in which the trainee named this reason


@dataclass(frozen=True, slots=True)
class TriageFigures:
    """The figures of triage."""

    trials: int  # answered
    right: Maybe[Rate]  # share of right answers
    let_through: Maybe[Rate]  # photos to be rejected that were called usable or of limited use
    thrown_away: Maybe[Rate]  # usable photos that were rejected
    confusion: tuple[Confusion, ...]  # one for each usability, from usable to reject
    degradations: tuple[Degradation, ...]  # in the order of the alphabet
    times: Times  # of right and of wrong answers


def triage_figures(photos: Sequence[Result]) -> TriageFigures:
    """Compute the figures of judged photos."""
    table = {truth: dict.fromkeys(LEVELS, 0) for truth in LEVELS}
    for one in photos:
        table[one.truth][one.answer] += 1
    reject, usable = table["reject"], table["usable"]
    faulty = sorted(grouped((one for one in photos if one.degraded), lambda one: one.degraded).items())
    return TriageFigures(
        trials=len(photos),
        right=share(sum(one.correct is True for one in photos), len(photos), message("none.photos")),
        let_through=share(reject["usable"] + reject["limited"], sum(reject.values()), message("none.rejects")),
        thrown_away=share(usable["reject"], sum(usable.values()), message("none.usable")),
        confusion=tuple(Confusion(truth, **table[truth]) for truth in LEVELS),
        degradations=tuple(_degradation(word, some) for word, some in faulty),
        times=times(photos),
    )


def _degradation(word: str, photos: Sequence[Result]) -> Degradation:
    named = sum(word in one.reasons.split("+") for one in photos)
    right = sum(one.correct is True for one in photos)
    lacking = message("none.photos_of_kind")
    return Degradation(word, len(photos), share(right, len(photos), lacking), share(named, len(photos), lacking))


@dataclass(frozen=True, slots=True)
class LabAbout:
    """Labs on one question."""

    about: str  # the question, as the plan has it
    right: Maybe[Rate]  # share of right conclusions
    near: Maybe[Rate]  # share of predictions that were near


@dataclass(frozen=True, slots=True)
class LabFigures:
    """The figures of labs."""

    trials: int  # answered
    right: Maybe[Rate]  # share of right conclusions
    near: Maybe[Rate]  # share of predictions that were near
    by_question: tuple[LabAbout, ...]  # in the order of the alphabet
    times: Times  # of right and of wrong answers


def lab_figures(labs: Sequence[Result]) -> LabFigures:
    """Compute the figures of answered labs."""
    about = sorted(grouped(labs, lambda one: one.lab).items())
    return LabFigures(
        trials=len(labs),
        right=_right_of(labs),
        near=_near_of(labs),
        by_question=tuple(LabAbout(word, _right_of(some), _near_of(some)) for word, some in about),
        times=times(labs),
    )


def _right_of(labs: Sequence[Result]) -> Maybe[Rate]:
    return share(sum(one.correct is True for one in labs), len(labs), message("none.labs"))


def _near_of(labs: Sequence[Result]) -> Maybe[Rate]:
    return share(sum(one.near is True for one in labs), len(labs), message("none.labs"))


@dataclass(frozen=True, slots=True)
class EvidenceTaskFigures:
    """The figures of evidence exercises: shares of those in which all, or a part, was right."""

    trials: int  # answered
    right: Maybe[Rate]  # all parts
    original: Maybe[Rate]  # the hash of the original
    crop: Maybe[Rate]  # the hash of the crop
    chain: Maybe[Rate]  # the record that breaks the chain
    times: Times  # of right and of wrong answers


def evidence_figures(found: Sequence[Result]) -> EvidenceTaskFigures:
    """Compute the figures of answered evidence exercises."""

    def part(word: str) -> Maybe[Rate]:
        return share(sum(word in one.reasons.split("+") for one in found), len(found), message("none.evidence"))

    return EvidenceTaskFigures(
        trials=len(found),
        right=share(sum(one.correct is True for one in found), len(found), message("none.evidence")),
        original=part("original"),
        crop=part("crop"),
        chain=part("chain"),
        times=times(found),
    )


@dataclass(frozen=True, slots=True)
class LessonAbout:
    """One lesson."""

    lesson: str  # its name
    right: Maybe[Rate]  # share of right answers to its questions
    minutes: Maybe[float]  # median over trainees of the time that they read it


@dataclass(frozen=True, slots=True)
class LessonFigures:
    """The figures of lessons."""

    trials: int  # questions that were answered
    right: Maybe[Rate]  # share of right answers
    by_lesson: tuple[LessonAbout, ...]  # in the order of the alphabet
    times: Times  # of right and of wrong answers, the reading included


def lesson_figures(found: Sequence[Result]) -> LessonFigures:
    """Compute the figures of answered questions of lessons."""

    def about(name: str, some: Sequence[Result]) -> LessonAbout:
        reading = grouped(some, lambda one: one.trainee_id).values()
        minutes = median(sum(one.read_ms or 0 for one in mine) / 60_000 for mine in reading)
        return LessonAbout(name, _right(some), minutes)

    def _right(some: Sequence[Result]) -> Maybe[Rate]:
        return share(sum(one.correct is True for one in some), len(some), message("none.lessons"))

    lessons = sorted(grouped(found, lambda one: one.lesson.partition(":")[0]).items())
    return LessonFigures(
        trials=len(found),
        right=_right(found),
        by_lesson=tuple(about(name, some) for name, some in lessons),
        times=times(found),
    )
