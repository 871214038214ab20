"""Sums figures up in messages for a trainee, and for trainers who are not statisticians.

A sentence claims only what `certainty` allows, and advises to practise only what stands out beyond chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from fr_core.scoring.intervals import Rate
from fr_locales.messages import Audience, Message, message
from fr_training.grading.advice import AidedFigures, PrevalenceFigures
from fr_training.grading.blocks import KindFigures
from fr_training.grading.certainty import FEW, Certainty, Lean, Verdict, of_cohort, of_trainee
from fr_training.grading.change_sentences import changes_of, cohort_changes, standing
from fr_training.grading.evidence import NO_SUPPORT, EvidenceFigures
from fr_training.grading.figures import CohortFigures, TraineeFigures, Words
from fr_training.grading.fusion import CrowdFigures
from fr_training.grading.items import ItemRow
from fr_training.grading.pairs import PairFigures
from fr_training.grading.values import Counts, Maybe
from fr_training.statistics.estimates import RateDifference
from fr_training.statistics.fusion import GroupArea

FEWEST = 5  # trials, and different items, below which a share of errors is not told as something to practise
BAR = 0.1  # share of errors that is to be practised: the whole 95 % interval must lie above it

HARD = {"easy": message("pairs.easy"), "middle": message("pairs.middle"), "hard": message("pairs.hard")}
TO_PRACTISE = {
    Lean.SAME: message("practise.lean_same"),
    Lean.DIFFERENT: message("practise.lean_different"),
    Lean.SLOW: message("practise.lean_slow"),
}


def trainee_words(figures: TraineeFigures) -> Words:
    """The sentences of a trainee."""
    you, found, pairs = Audience.TRAINEE, figures.together, figures.together.pairs
    certain = of_trainee(found, figures.aided, figures.prevalence)
    return Words(
        went_well=_went_well(you, found, figures.aided, certain),
        bias=_bias(you, pairs, figures.aided, figures.prevalence, certain),
        practise=_practise(you, found, figures.aided, certain),
        change=(*changes_of(figures.changes), *standing(figures.standing)),
        limits=(*_left_out(figures.counts), *_ceiling(pairs)),
    )


def cohort_words(figures: CohortFigures) -> Words:
    """The sentences of a cohort."""
    they, found = Audience.COHORT, figures.together
    certain = of_cohort(found, figures.aided, figures.prevalence, figures.own, figures.items)
    return Words(
        went_well=(*_went_well(they, found, figures.aided, certain), *_crowds(figures.crowds)),
        bias=_bias(they, found.pairs, figures.aided, figures.prevalence, certain),
        practise=_practise(they, found, figures.aided, certain),
        change=tuple(cohort_changes(figures.changes)),
        limits=(*_left_out(figures.counts), *_quarantined(figures.items), message("limits.cohort")),
    )


def _went_well(
    who: Audience, found: KindFigures, aided: Maybe[AidedFigures], certain: Certainty
) -> tuple[Message, ...]:
    """Say what is surely better than guessing, and what never went wrong in enough trials."""
    said = list(_better_than_guessing(who, found, certain))
    lists, triage = found.lists, found.triage
    if lists is not None and _none_of_many(lists.picks.false_alarms, certain.absent):
        said.append(message("well.lists", audience=who, count=lists.picks.absent))
    if triage is not None and _none_of_many(triage.let_through, certain.rejects):
        said.append(message("well.triage", audience=who, count=triage.let_through.total))
    if isinstance(aided, AidedFigures) and _none_of_many(aided.misled, certain.misled):
        said.append(message("well.advice", audience=who, total=aided.misled.total))
    return tuple(said) or (message("well.nothing"),)


def _better_than_guessing(who: Audience, found: KindFigures, certain: Certainty) -> Iterable[Message]:
    if certain.better is not None:
        yield message("well.pairs", audience=who, comparisons=100 * certain.better)
    if found.triads is not None and certain.triads and isinstance(found.triads.right, Rate):
        yield message("well.triads", audience=who, right=found.triads.right.count, total=found.triads.right.total)


def _none_of_many(found: Maybe[Rate], items: int) -> TypeGuard[Rate]:
    """True for a share of 0 of enough trials, of enough different items."""
    return isinstance(found, Rate) and found.count == 0 and min(found.total, items) >= FEW


def _bias(
    who: Audience,
    pairs: PairFigures | None,
    aided: Maybe[AidedFigures],
    prevalence: Maybe[PrevalenceFigures],
    certain: Certainty,
) -> tuple[Message, ...]:
    """Say which way answers lean, always with both error rates."""
    said = [] if pairs is None else [_leaning(who, pairs, certain)]
    if isinstance(aided, AidedFigures):
        said.append(_moved_by_advice(who, aided.trials, certain.advice))
    if isinstance(prevalence, PrevalenceFigures) and isinstance(prevalence.false_same, RateDifference):
        said.append(_where_rare(who, prevalence.items, prevalence.false_same, certain.rare))
    return tuple(said)


def _leaning(who: Audience, pairs: PairFigures, certain: Certainty) -> Message:
    misses, false_same = pairs.errors.misses.of_all, pairs.errors.false_same.of_all
    parts = []
    if isinstance(false_same, Rate):
        parts.append(message("lean.called_same", audience=who, count=false_same.total, wrong=false_same.count))
    if isinstance(misses, Rate):
        parts.append(message("lean.called_different", audience=who, count=misses.total, wrong=misses.count))
    if pairs.undecided:
        parts.append(message("lean.undecided", audience=who, count=pairs.undecided))
    errors = tuple(parts)
    return {
        None: message("lean.one_kind", audience=who, errors=errors),
        Lean.SAME: message("lean.same", audience=who, errors=errors),
        Lean.DIFFERENT: message("lean.different", audience=who, errors=errors),
        Lean.SLOW: message("lean.slow", audience=who, errors=errors),
        Lean.NEITHER: message("lean.neither", audience=who, errors=errors),
        Lean.TOO_FEW: message("lean.too_few", audience=who, count=pairs.trials, errors=errors),
    }[certain.lean]


def _moved_by_advice(who: Audience, trials: int, found: Verdict) -> Message:
    return {
        Verdict.ABOVE: message("advice.towards", audience=who),
        Verdict.BELOW: message("advice.away", audience=who),
        Verdict.ABOUT_NONE: message("advice.little", audience=who),
        Verdict.TOO_FEW: message("advice.too_few", audience=who, count=trials),
    }[found]


def _where_rare(who: Audience, items: int, found: RateDifference, verdict: Verdict) -> Message:
    rare, usual = _of(found.first), _of(found.second)
    return {
        Verdict.ABOVE: message("rare.more", audience=who, rare=rare, usual=usual),
        Verdict.BELOW: message("rare.less", audience=who, rare=rare, usual=usual),
        Verdict.ABOUT_NONE: message("rare.alike", audience=who, rare=rare, usual=usual),
        Verdict.TOO_FEW: message("rare.too_few", audience=who, rare=rare, usual=usual, count=items),
    }[verdict]


def _of(rate: Rate) -> Message:
    return message("rate.of", part=rate.count, total=rate.total)


@dataclass(frozen=True, slots=True)
class _Errors:
    """Errors of one kind."""

    wrong: Rate  # their share
    items: int  # different items that they are of
    few: Message  # the items, counted
    said: Message  # what to practise

    @property
    def too_few(self) -> bool:
        return min(self.wrong.total, self.items) < FEWEST

    @property
    def often(self) -> bool:
        return not self.too_few and self.wrong.interval.low > BAR


def _practise(who: Audience, found: KindFigures, aided: Maybe[AidedFigures], certain: Certainty) -> tuple[Message, ...]:
    """Say what to practise, what has too few trials to tell, or that nothing stands out."""
    errors = list(_errors(who, found, aided, certain))
    said = [*_lean_to_practise(certain.lean), *_worst(found.pairs), *(one.said for one in errors if one.often)]
    if not said:
        said.append(message("practise.nothing"))
    few = tuple(one.few for one in errors if one.too_few)
    if few:
        said.append(message("practise.too_few", audience=who, items=few))
    return tuple(said)


def _errors(who: Audience, found: KindFigures, aided: Maybe[AidedFigures], certain: Certainty) -> Iterable[_Errors]:
    picks = found.lists.picks if found.lists else None
    if picks and isinstance(wrong := picks.false_alarms, Rate):
        few = message("practise.few_absent", count=certain.absent)
        yield _Errors(wrong, certain.absent, few, message("practise.absent", audience=who, wrong=_of(wrong)))
    if picks and isinstance(wrong := picks.foils, Rate):
        few = message("practise.few_present", count=certain.present)
        yield _Errors(wrong, certain.present, few, message("practise.present", audience=who, wrong=_of(wrong)))
    if found.triage and isinstance(wrong := found.triage.let_through, Rate):
        few = message("practise.few_rejects", count=certain.rejects)
        yield _Errors(wrong, certain.rejects, few, message("practise.rejects", wrong=_of(wrong)))
    if isinstance(aided, AidedFigures) and isinstance(wrong := aided.misled, Rate):
        few = message("practise.few_misled", count=certain.misled)
        yield _Errors(wrong, certain.misled, few, message("practise.misled", wrong=_of(wrong)))


def _lean_to_practise(lean: Lean | None) -> Iterable[Message]:
    if lean in TO_PRACTISE:
        yield TO_PRACTISE[lean]


def _worst(pairs: PairFigures | None) -> Iterable[Message]:
    """The place of the highest share of errors, of those that stand out."""
    places = [] if pairs is None else [one for one in pairs.errors_at if one.stands_out]
    known = [(one.wrong, one) for one in places if isinstance(one.wrong, Rate)]
    if known:
        wrong, worst = max(known, key=lambda couple: couple[0].value)
        hard, same = HARD[worst.third], worst.truth == "same"
        of_one = message("practise.worst_same", hard=hard, wrong=_of(wrong))
        yield of_one if same else message("practise.worst_different", hard=hard, wrong=_of(wrong))


def _crowds(crowds: Sequence[CrowdFigures]) -> Iterable[Message]:
    for one in crowds[:1]:
        areas = {size.size: size.area for size in one.sizes if isinstance(size.area, GroupArea)}
        if 1 in areas and len(areas) > 1:
            alone, most = areas[1], areas[max(areas)]
            if most.low > alone.high:
                yield message("well.crowd", count=most.size, together=most.area, alone=alone.area)


def _left_out(counts: Counts) -> tuple[Message, ...]:
    """Say how many trials are in no figure, and why."""
    parts = tuple(
        one
        for number, one in (
            (counts.known_to_me, message("left_out.known", count=counts.known_to_me)),
            (counts.unanswered, message("left_out.unanswered", count=counts.unanswered)),
            (counts.unscored, message("left_out.unscored", count=counts.unscored)),
        )
        if number
    )
    return (message("left_out.trials", trials=parts),) if parts else ()


def _ceiling(pairs: PairFigures | None) -> tuple[Message, ...]:
    """The strongest words that so many trials of one trainee can carry."""
    if pairs is None or not isinstance(pairs.evidence, EvidenceFigures):
        return ()
    found = pairs.evidence
    same, different = found.strongest_same, found.strongest_different
    if same == different == NO_SUPPORT:
        return (message("ceiling.no_words", count=pairs.trials),)
    return (message("ceiling.words", count=pairs.trials, same=same, different=different),)


def _quarantined(items: Sequence[ItemRow]) -> Iterable[Message]:
    aside = sum(one.quarantined for one in items)
    if aside:
        yield message("limits.quarantined", count=aside, items=message("count.items", count=len(items)))
