"""What to practise, and in which exercise, in plain sentences: only what stands out beyond chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fr_core.scoring.intervals import Rate
from fr_training.grading.advice import AidedFigures
from fr_training.grading.blocks import KindFigures
from fr_training.grading.certainty import Lean, Surely
from fr_training.grading.pairs import PairFigures
from fr_training.grading.values import Maybe, Undefined
from fr_training.grading.words import YOU, Voice, counted, of

FEWEST = 5
"""Trials, and different items, below which a share of errors is not told as something to practise."""

BAR = 0.1
"""Share of errors that is to be practised: the whole 95 % interval must lie above it."""

TRUTHS = {"same": "one person", "different": "two people"}


@dataclass(frozen=True, slots=True)
class _Place:
    """Errors of one kind: their share, and how many different items they are of; what these are, and what to say."""

    wrong: Rate | None
    items: int
    one: str
    many: str
    said: str

    @property
    def few(self) -> bool:
        return self.wrong is not None and min(self.wrong.total, self.items) < FEWEST

    @property
    def often(self) -> bool:
        return self.wrong is not None and not self.few and self.wrong.interval.low > BAR


def practise(voice: Voice, found: KindFigures, aided: Maybe[AidedFigures], surely: Surely) -> tuple[str, ...]:
    """What to practise; of what there are too few trials to tell; or that nothing stands out."""
    places = _places(voice, found, aided, surely)
    said = [*_leaning(surely), *_worst(found.pairs), *(one.said for one in places if one.often)]
    if not said:
        said.append("Nothing stands out beyond chance; more trials tell more.")
    few = [counted(one.items, one.one, one.many) for one in places if one.few]
    if few:
        which = "Too few" if voice is YOU else "Too few different ones"  # many answer the same few
        said.append(f"{which} to tell anything: {', '.join(few)}.")
    return tuple(said)


def _places(voice: Voice, found: KindFigures, aided: Maybe[AidedFigures], surely: Surely) -> Iterable[_Place]:
    picks = found.lists.picks if found.lists else None
    false_alarms, foils = (_known(picks.false_alarms), _known(picks.foils)) if picks else (None, None)
    let_through = _known(found.triage.let_through) if found.triage else None
    misled = _known(aided.misled) if isinstance(aided, AidedFigures) else None
    return (
        _Place(
            false_alarms,
            surely.absent,
            "list without the person",
            "lists without the person",
            f'Answering "none" (candidates): from {_of(false_alarms)} lists without the person {voice.then} picked '
            "somebody.",
        ),
        _Place(
            foils,
            surely.present,
            "list with the person",
            "lists with the person",
            f"Comparing every candidate before picking (candidates): in {_of(foils)} lists with the person "
            f"{voice.then} picked somebody else.",
        ),
        _Place(
            let_through,
            surely.rejects,
            "photo to be rejected",
            "photos to be rejected",
            f"Rejecting photos that are of no use (triage): {_of(let_through)} of them were let through.",
        ),
        _Place(
            misled,
            surely.misled,
            "pair that wrong advice could turn",
            "pairs that wrong advice could turn",
            f"Staying with what the photos show (aided pairs): wrong advice turned {_of(misled)} right answers into "
            "wrong ones.",
        ),
    )


def _of(found: Rate | None) -> str:
    return "" if found is None else of(found)


def _known(found: Maybe[Rate] | None) -> Rate | None:
    return None if found is None or isinstance(found, Undefined) else found


def _leaning(surely: Surely) -> Iterable[str]:
    if surely.lean == Lean.SAME:
        yield 'Looking for what speaks against one person before saying "same", feature by feature (features).'
    if surely.lean == Lean.DIFFERENT:
        yield "Seeing past pose, light, age and expression, which change a face that is one person's (features)."
    if surely.lean == Lean.SLOW:
        yield "Deciding where the photos allow it, and not to leave so many pairs undecided (verification)."


def _worst(pairs: PairFigures | None) -> Iterable[str]:
    """The place of the highest share of errors, of those that stand out."""
    places = [] if pairs is None else [one for one in pairs.errors_at if one.stands_out]
    known = [(one.wrong, one) for one in places if isinstance(one.wrong, Rate)]
    if known:
        wrong, worst = max(known, key=lambda couple: couple[0].value)
        hard = "middling" if worst.third == "middle" else worst.third
        yield (
            f"Pairs of {TRUTHS[worst.truth]} that are {hard} by the machine's measure: {of(wrong)} were answered "
            "wrongly, more than of the others (verification)."
        )
