"""Figures in plain sentences, for a trainee and for trainers who are no statisticians."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from fr_core.scoring.intervals import Rate
from fr_training.grading.advice import AidedFigures, PrevalenceFigures
from fr_training.grading.blocks import KindFigures
from fr_training.grading.certainty import FEW, Lean, Surely, Verdict
from fr_training.grading.evidence import NO_SUPPORT, EvidenceFigures
from fr_training.grading.pairs import PairFigures
from fr_training.grading.values import Counts, Maybe
from fr_training.statistics.estimates import RateDifference


@dataclass(frozen=True, slots=True)
class Voice:
    """Of whom a sentence speaks; every verb is in the plural.

    Attributes:
        first: at the beginning of a sentence.
        then: later in it.
        whom: as an object.
        whose: what is theirs.
        answer: what there are so many of.
    """

    first: str
    then: str
    whom: str
    whose: str
    answer: str


YOU = Voice("You", "you", "you", "your", "pair")
THEY = Voice("The trainees", "they", "them", "their", "answer")


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things, such as "1 pair" or "2 people"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def of(rate: Rate) -> str:
    """A rate as its counts, such as "3 of 20"."""
    return f"{rate.count:,} of {rate.total:,}"


def written(value: float) -> str:
    """A ratio to three digits, such as 2.33, 21 or 1,000."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def went_well(voice: Voice, found: KindFigures, aided: Maybe[AidedFigures], surely: Surely) -> tuple[str, ...]:
    """What is surely better than guessing, and what never went wrong in so many trials that it says something."""
    said = [*_better(voice, surely), *_others_well(voice, found, surely)]
    if isinstance(aided, AidedFigures) and _none_of_many(aided.misled, surely.misled):
        said.append(
            f"Wrong advice of the machine never took a right answer from {voice.whom}: 0 of {aided.misled.total:,}."
        )
    return tuple(said) or ("So far, these answers show nothing that is surely better than guessing.",)


def _better(voice: Voice, surely: Surely) -> Iterable[str]:
    if surely.better is not None:
        yield (
            f"{voice.first} tell one person from two better than guessing: a pair of one person gets a higher rating "
            f"than a pair of two in {100 * surely.better:.0f} of 100 comparisons; guessing makes it 50."
        )


def _others_well(voice: Voice, found: KindFigures, surely: Surely) -> Iterable[str]:
    triads, lists, triage = found.triads, found.lists, found.triage
    if triads is not None and surely.triads and isinstance(triads.right, Rate):
        yield f"{voice.first} found the odd one out in {of(triads.right)} triads; guessing finds a third."
    if lists is not None and _none_of_many(lists.picks.false_alarms, surely.absent):
        total = counted(lists.picks.absent, "list")
        yield f"{voice.first} picked nobody from any of the {total} that did not hold the person searched for."
    if triage is not None and _none_of_many(triage.let_through, surely.rejects):
        rejects = triage.let_through.total
        yield f"{voice.first} let none of the {rejects:,} photos through that had to be rejected."


def _none_of_many(found: Maybe[Rate], items: int) -> TypeGuard[Rate]:
    """Whether it is a share of 0 of enough trials, of enough different items."""
    return isinstance(found, Rate) and found.count == 0 and min(found.total, items) >= FEW


def bias(
    voice: Voice,
    pairs: PairFigures | None,
    aided: Maybe[AidedFigures],
    prevalence: Maybe[PrevalenceFigures],
    surely: Surely,
) -> tuple[str, ...]:
    """Which way answers lean, with both error rates always."""
    said = [] if pairs is None else [_leaning(voice, pairs, surely)]
    if isinstance(aided, AidedFigures):
        said.append(_advised(voice, aided.trials, surely))
    if isinstance(prevalence, PrevalenceFigures) and isinstance(prevalence.false_same, RateDifference):
        change = prevalence.false_same
        told = {
            Verdict.ABOVE: "that is more than chance makes.",
            Verdict.BELOW: "that is less, by more than chance makes.",
            Verdict.ABOUT_NONE: "that is much the same.",
            Verdict.TOO_FEW: f"{_are(prevalence.items, 'such pair')} too few to tell whether that differs.",
        }[surely.rare]
        said.append(
            f"Where pairs of two people were rare, {voice.then} called {of(change.first)} of them the same, elsewhere "
            f"{of(change.second)}; {told}"
        )
    return tuple(said)


def _leaning(voice: Voice, pairs: PairFigures, surely: Surely) -> str:
    misses, false_same = pairs.errors.misses.of_all, pairs.errors.false_same.of_all
    parts = []
    if isinstance(false_same, Rate):
        total = counted(false_same.total, "pair")
        parts.append(f"of {total} of different people {voice.then} called {false_same.count:,} the same")
    if isinstance(misses, Rate):
        parts.append(f"of {counted(misses.total, 'pair')} of one person {voice.then} called {misses.count:,} different")
    told = f"{' and '.join(parts)}{_undecided(voice, pairs)}."
    if surely.lean is None:
        return f"Which way {voice.whose} answers lean cannot be said without pairs of both kinds: {told}"
    said = {
        Lean.SAME: f'{voice.first} say "same" too readily',
        Lean.DIFFERENT: f'{voice.first} say "different" too readily',
        Lean.SLOW: f'{voice.first} are slow to say "same", more by leaving pairs undecided than by errors',
        Lean.NEITHER: f"{voice.whose.capitalize()} answers lean neither way to speak of",
        Lean.TOO_FEW: f"{_are(pairs.trials, voice.answer)} too few to tell which way {voice.whose} answers lean",
    }[surely.lean]
    return f"{said}: {told}"


def _are(number: int, what: str) -> str:
    return f"{counted(number, what)} {'is' if number == 1 else 'are'}"


def _undecided(voice: Voice, pairs: PairFigures) -> str:
    return f"; {voice.then} left {counted(pairs.undecided, 'pair')} undecided" if pairs.undecided else ""


def _advised(voice: Voice, trials: int, surely: Surely) -> str:
    return {
        Verdict.ABOVE: f"{voice.first} lean to what the machine says: after its advice {voice.whose} answers moved "
        "towards it.",
        Verdict.BELOW: f"{voice.first} lean against the machine: after its advice {voice.whose} answers moved away "
        "from it.",
        Verdict.ABOUT_NONE: f"The machine's advice moved {voice.whose} answers by little, if at all.",
        Verdict.TOO_FEW: f"{_are(trials, voice.answer)} too few to tell whether the advice moved {voice.whose} "
        "answers.",
    }[surely.advice]


def left_out(counts: Counts) -> tuple[str, ...]:
    """What is in no figure, and how many trials that are."""
    parts = [
        f"{counted(number, 'trial')} {what}"
        for number, what in (
            (counts.known_to_me, "in which somebody shown is known"),
            (counts.unanswered, "without an answer"),
            (counts.unscored, "of which nobody knows what is right"),
        )
        if number
    ]
    return (f"In no figure: {', '.join(parts)}.",) if parts else ()


def ceiling(voice: Voice, pairs: PairFigures | None) -> tuple[str, ...]:
    """The strongest words that so many trials of one trainee can carry."""
    if pairs is None or not isinstance(pairs.evidence, EvidenceFigures):
        return ()
    found = pairs.evidence
    largest = (
        f"{counted(pairs.trials, 'pair')} can show a likelihood ratio of {written(found.ceiling_same)} at most, and of "
        f"that ratio no more than that it is {written(found.least_same)} or larger"
    )
    if {found.strongest_same, found.strongest_different} == {NO_SUPPORT}:
        return (f"{largest}: no rating of {voice.whose}s can carry any words of support yet, however sure it feels.",)
    return (
        f'{largest}: no rating of {voice.whose}s can carry words beyond "{found.strongest_same}" for one person and '
        f'"{found.strongest_different}" for two, however sure it feels.',
    )
