"""Figures in plain sentences, for a trainee and for trainers who are no statisticians."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from fr_core.scoring.human.advice import AutomationBias
from fr_core.scoring.human.signal_detection import Sensitivity
from fr_core.scoring.intervals import Interval, Rate
from fr_core.training.grading.aided import AidedFigures, PrevalenceFigures
from fr_core.training.grading.areas import Roc
from fr_core.training.grading.blocks import KindFigures
from fr_core.training.grading.evidence import EvidenceFigures
from fr_core.training.grading.pairs import ErrorsAt, PairFigures
from fr_core.training.grading.splitting import Counts
from fr_core.training.grading.values import Maybe, Undefined

FEW = 5
"""Trials below which "none went wrong" is worth no sentence."""

TRUTHS = {"same": "one person", "different": "two people"}


@dataclass(frozen=True, slots=True)
class Voice:
    """Of whom a sentence speaks; every verb is in the plural.

    Attributes:
        first: at the beginning of a sentence.
        then: later in it.
        whose: what is theirs.
    """

    first: str
    then: str
    whose: str


YOU = Voice("You", "you", "your")
THEY = Voice("The trainees", "they", "their")


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things, such as "1 pair" or "2 people"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def of(rate: Rate) -> str:
    """A rate as its counts, such as "3 of 20"."""
    return f"{rate.count:,} of {rate.total:,}"


def went_well(voice: Voice, found: KindFigures, aided: Maybe[AidedFigures]) -> tuple[str, ...]:
    """What is surely better than guessing, and what never went wrong."""
    said = [*_pairs_well(voice, found.pairs), *_others_well(voice, found)]
    if isinstance(aided, AidedFigures) and _none_of_many(aided.misled):
        said.append(
            f"Wrong advice of the machine never took a right answer from {voice.then}: 0 of {aided.misled.total:,}."
        )
    return tuple(said) or ("So far, these answers show nothing that is surely better than guessing.",)


def _pairs_well(voice: Voice, pairs: PairFigures | None) -> Iterable[str]:
    if pairs is None or not isinstance(pairs.roc, Roc):
        return
    interval = pairs.roc.area.interval
    surely = (
        interval.low > 0.5 if isinstance(interval, Interval) else pairs.roc.area.value == 1.0 and pairs.trials >= FEW
    )
    if surely:
        yield (
            f"{voice.first} tell one person from two better than guessing: a pair of one person gets a higher rating "
            f"than a pair of two in {100 * pairs.roc.area.value:.0f} of 100 comparisons; guessing makes it 50."
        )


def _others_well(voice: Voice, found: KindFigures) -> Iterable[str]:
    triads, lists, triage = found.triads, found.lists, found.triage
    if triads is not None and triads.better_than_guessing and isinstance(triads.right, Rate):
        yield f"{voice.first} found the odd one out in {of(triads.right)} triads; guessing finds a third."
    if lists is not None and _none_of_many(lists.picks.false_alarms):
        total = counted(lists.picks.absent, "list")
        yield f"{voice.first} picked nobody from any of the {total} that did not hold the person searched for."
    if triage is not None and _none_of_many(triage.let_through):
        rejects = triage.let_through.total
        yield f"{voice.first} let none of the {rejects:,} photos through that had to be rejected."


def _none_of_many(found: Maybe[Rate]) -> TypeGuard[Rate]:
    """Whether it is a share of 0 of enough trials."""
    return isinstance(found, Rate) and found.count == 0 and found.total >= FEW


def bias(
    voice: Voice,
    pairs: PairFigures | None,
    aided: Maybe[AidedFigures],
    prevalence: Maybe[PrevalenceFigures],
) -> tuple[str, ...]:
    """Which way answers lean, with both error rates always."""
    said = [] if pairs is None else [_leaning(voice, pairs)]
    if isinstance(aided, AidedFigures) and isinstance(aided.bias, AutomationBias):
        said.append(_advised(voice, aided.bias))
    if isinstance(prevalence, PrevalenceFigures) and not isinstance(prevalence.false_same, Undefined):
        change = prevalence.false_same
        beyond = "is more" if change.low > 0 or change.high < 0 else "is no more"
        said.append(
            f"Where pairs of two people were rare, {voice.then} called {of(change.first)} of them the same, elsewhere "
            f"{of(change.second)}; that {beyond} than chance makes."
        )
    return tuple(said)


def _leaning(voice: Voice, pairs: PairFigures) -> str:
    misses, false_same = pairs.errors.misses.of_all, pairs.errors.false_same.of_all
    parts = []
    if isinstance(false_same, Rate):
        total = counted(false_same.total, "pair")
        parts.append(f"of {total} of different people {voice.then} called {false_same.count:,} the same")
    if isinstance(misses, Rate):
        parts.append(f"of {counted(misses.total, 'pair')} of one person {voice.then} called {misses.count:,} different")
    told = f"{' and '.join(parts)}{_undecided(voice, pairs)}."
    found = pairs.errors.sensitivity
    if not (isinstance(found, Sensitivity) and isinstance(false_same, Rate) and isinstance(misses, Rate)):
        return f"Which way {voice.whose} answers lean cannot be said without pairs of both kinds: {told}"
    # The undecided count as not called "same", so that c alone would call a cautious person one who says "different".
    if found.criterion.high < 0.0 and false_same.value > misses.value:
        return f'{voice.first} say "same" too readily: {told}'
    if found.criterion.low > 0.0 and misses.value > false_same.value:
        return f'{voice.first} say "different" too readily: {told}'
    if found.criterion.low > 0.0:
        return f'{voice.first} are slow to say "same", more by leaving pairs undecided than by errors: {told}'
    return f"{voice.whose.capitalize()} answers lean neither way more than chance makes: {told}"


def _undecided(voice: Voice, pairs: PairFigures) -> str:
    return f"; {voice.then} left {counted(pairs.undecided, 'pair')} undecided" if pairs.undecided else ""


def _advised(voice: Voice, found: AutomationBias) -> str:
    if found.net.low > 0.0:
        return f"{voice.first} lean to what the machine says: after its advice {voice.whose} answers moved towards it."
    if found.net.high < 0.0:
        return f"{voice.first} lean against the machine: after its advice {voice.whose} answers moved away from it."
    return f"The machine's advice moved {voice.whose} answers no more than chance does."


def practise(voice: Voice, found: KindFigures, aided: Maybe[AidedFigures]) -> tuple[str, ...]:
    """What to practise, and in which exercise."""
    said = [*_practise_pairs(voice, found.pairs), *_practise_others(voice, found)]
    if isinstance(aided, AidedFigures) and isinstance(aided.misled, Rate) and aided.misled.count:
        said.append(
            f"Staying with what the photos show (aided pairs): wrong advice turned {of(aided.misled)} right answers "
            "into wrong ones."
        )
    return tuple(said) or ("Nothing stands out; more trials tell more.",)


def _practise_pairs(voice: Voice, pairs: PairFigures | None) -> Iterable[str]:
    if pairs is None:
        return
    found = pairs.errors.sensitivity
    if isinstance(found, Sensitivity) and found.criterion.high < 0.0:
        yield 'Looking for what speaks against one person before saying "same", feature by feature (features).'
    if isinstance(found, Sensitivity) and found.criterion.low > 0.0:
        yield "Seeing past pose, light, age and expression, which change a face that is one person's (features)."
    worst = _worst(pairs.errors_at)
    if worst is not None and isinstance(worst.wrong, Rate):
        yield (
            f"Pairs of {TRUTHS[worst.truth]} that are {worst.third if worst.third != 'middle' else 'middling'} by the "
            f"machine's measure: {of(worst.wrong)} were answered wrongly (verification)."
        )


def _worst(errors: Iterable[ErrorsAt]) -> ErrorsAt | None:
    """The cell of the highest share of errors, of those with two errors or more."""
    known = [(one.wrong.value, one) for one in errors if isinstance(one.wrong, Rate) and one.wrong.count >= 2]
    return max(known, key=lambda couple: couple[0])[1] if known else None


def _practise_others(voice: Voice, found: KindFigures) -> Iterable[str]:
    if found.lists is not None:
        picks = found.lists.picks
        if isinstance(picks.false_alarms, Rate) and picks.false_alarms.count:
            yield (
                f'Answering "none" (candidates): from {of(picks.false_alarms)} lists without the person {voice.then} '
                "picked somebody."
            )
        if isinstance(picks.foils, Rate) and picks.foils.count:
            yield (
                f"Comparing every candidate before picking (candidates): in {of(picks.foils)} lists with the person "
                f"{voice.then} picked somebody else."
            )
    if found.triage is not None and isinstance(found.triage.let_through, Rate) and found.triage.let_through.count:
        yield f"Rejecting photos that are of no use (triage): {of(found.triage.let_through)} of them were let through."


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
    """The strongest words that so many trials can carry."""
    if pairs is None or not isinstance(pairs.evidence, EvidenceFigures):
        return ()
    found = pairs.evidence
    return (
        f"{counted(pairs.trials, 'pair')} can show a likelihood ratio of {found.ceiling_same:.3g} at most: no rating "
        f'of {voice.whose.replace("your", "yours").replace("their", "theirs")} can carry words beyond "'
        f'{found.strongest_same}" for one person and "{found.strongest_different}" for two, however sure it feels.',
    )
