"""Decides which claims the intervals allow, of one trainee or of a cohort.

A sentence that claims something needs an interval that excludes chance. One that reassures needs an interval that
excludes every effect that would matter. Everything else counts as too few trials to tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fr_core.scoring.intervals import Interval, Rate
from fr_training.grading.advice import AidedFigures, AutomationBias, PrevalenceFigures
from fr_training.grading.blocks import KindFigures
from fr_training.grading.items import ItemRow
from fr_training.grading.kinds import CHANCE
from fr_training.grading.pairs import PairFigures
from fr_training.grading.rates import Roc
from fr_training.grading.trainee_means import OwnFigures
from fr_training.grading.values import LISTS, Maybe, Undefined
from fr_training.prompts import ExerciseKind
from fr_training.statistics.estimates import Estimate, RateDifference
from fr_training.statistics.signal_detection import Sensitivity

FEW = 14  # trials below which "none went wrong" is worth no sentence: of 14, one in five would go wrong with 96 %

NO_LEAN = 0.3
"""Of c: within it, answers lean neither way to speak of. At d' of 2, c of .3 makes 10 % of one error, 24 of another."""

NO_SHIFT = 0.5
"""Of the shift of c by advice: half a step of the criterion; Howard (2020) found a whole step of the rating scale."""

SAME_SHARE = 0.1  # of a difference of shares: within it, they are much the same

MIN_RARE = 10
"""Different pairs of two people in a block where they are rare, below which those pairs may just be harder ones."""


class Verdict(StrEnum):
    """The place of an interval."""

    ABOVE = "above"
    BELOW = "below"
    ABOUT_NONE = "about none"
    TOO_FEW = "too few"


class Lean(StrEnum):
    """The lean of answers."""

    SAME = "same"
    DIFFERENT = "different"
    SLOW = "slow"
    NEITHER = "neither"
    TOO_FEW = "too few"


@dataclass(frozen=True, slots=True)
class Certainty:
    """The claims that the figures allow."""

    better: float | None  # area under the ROC curve where it is surely better than guessing; None where it is not
    triads: bool  # whether triads are answered better than by guessing
    lean: Lean | None  # which way answers lean; None where it cannot be said without pairs of both kinds
    advice: Verdict  # whether the answers moved towards the advice (above), or away from it
    rare: Verdict  # whether more pairs of two people are called the same where they are rare
    absent: int  # different lists that do not hold the person searched for
    present: int  # different lists that do
    rejects: int  # different photos to be rejected
    misled: int  # different pairs with wrong advice that could mislead


def of_trainee(found: KindFigures, aided: Maybe[AidedFigures], prevalence: Maybe[PrevalenceFigures]) -> Certainty:
    """Decide for one trainee, each of whose trials is of another item."""
    lists, triage = found.lists, found.triage
    sensitivity = found.pairs.errors.sensitivity if found.pairs else None
    net = aided.bias.net if isinstance(aided, AidedFigures) and isinstance(aided.bias, AutomationBias) else None
    return Certainty(
        better=_better(found.pairs),
        triads=found.triads is not None and found.triads.better_than_guessing,
        lean=leaning(found.pairs, sensitivity.criterion) if isinstance(sensitivity, Sensitivity) else _unsure(found),
        advice=verdict([net], NO_SHIFT),
        rare=_rare(prevalence, []),
        absent=lists.picks.absent if lists else 0,
        present=lists.picks.present if lists else 0,
        rejects=triage.let_through.total if triage and isinstance(triage.let_through, Rate) else 0,
        misled=aided.misled.total if isinstance(aided, AidedFigures) and isinstance(aided.misled, Rate) else 0,
    )


def of_cohort(
    found: KindFigures,
    aided: Maybe[AidedFigures],
    prevalence: Maybe[PrevalenceFigures],
    own: OwnFigures,
    items: Iterable[ItemRow],
) -> Certainty:
    """Decide for a cohort by the trainees' own figures: pooled intervals treat the answers of one as independent."""
    shown = [(one.exercise, one.truth) for one in items]
    in_lists = [truth for exercise, truth in shown if exercise in LISTS]
    both = found.pairs is not None and isinstance(found.pairs.errors.sensitivity, Sensitivity)
    net = aided.bias.net if isinstance(aided, AidedFigures) and isinstance(aided.bias, AutomationBias) else None
    surely_better = isinstance(own.dprime, Estimate) and own.dprime.low > 0.0
    absent = in_lists.count("absent")
    return Certainty(
        better=own.area.value if surely_better and isinstance(own.area, Estimate) else None,
        triads=isinstance(own.triads, Estimate) and own.triads.low > CHANCE,
        lean=leaning(found.pairs, own.criterion) if both else _unsure(found),
        advice=verdict([own.net, net], NO_SHIFT),
        rare=_rare(prevalence, [own.rare]),
        absent=absent,
        present=len(in_lists) - absent,
        rejects=shown.count((ExerciseKind.TRIAGE.value, "reject")),
        misled=aided.items_advised_wrong if isinstance(aided, AidedFigures) else 0,
    )


def verdict(found: Iterable[Estimate | RateDifference | Undefined | None], none: float) -> Verdict:
    """Return what all of several intervals of one figure say; values within `none` of 0 do not matter."""
    intervals = list(found)
    ends = [(one.low, one.high) for one in intervals if isinstance(one, Estimate | RateDifference)]
    if len(ends) < len(intervals) or not ends:
        return Verdict.TOO_FEW
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if low > 0.0:
        return Verdict.ABOVE
    if high < 0.0:
        return Verdict.BELOW
    return Verdict.ABOUT_NONE if -none <= low and high <= none else Verdict.TOO_FEW


def leaning(pairs: PairFigures | None, criterion: Maybe[Estimate]) -> Lean:
    """Decide which way answers lean.

    The undecided count as not called "same", so that c alone would call a cautious person one who says "different".
    """
    if pairs is None:
        return Lean.TOO_FEW
    misses, false_same = pairs.errors.misses.of_all, pairs.errors.false_same.of_all
    found = verdict([criterion], NO_LEAN)
    if not (isinstance(misses, Rate) and isinstance(false_same, Rate)):
        return Lean.TOO_FEW
    if found == Verdict.BELOW and false_same.value > misses.value:
        return Lean.SAME
    if found == Verdict.ABOVE:
        return Lean.DIFFERENT if misses.value > false_same.value else Lean.SLOW
    return Lean.NEITHER if found == Verdict.ABOUT_NONE else Lean.TOO_FEW


def _unsure(found: KindFigures) -> Lean | None:
    """Without a criterion: too few pairs of both kinds, or pairs of one kind."""
    return Lean.TOO_FEW if found.pairs is not None and found.pairs.same and found.pairs.different else None


def _better(pairs: PairFigures | None) -> float | None:
    """The area where it is surely above a half; one of exactly 1 has no interval, and needs enough pairs."""
    if pairs is None or not isinstance(pairs.roc, Roc):
        return None
    area = pairs.roc.area
    sure = area.interval.low > 0.5 if isinstance(area.interval, Interval) else area.value == 1.0 and pairs.trials >= FEW
    return area.value if sure else None


def _rare(prevalence: Maybe[PrevalenceFigures], own: list[Maybe[Estimate]]) -> Verdict:
    if isinstance(prevalence, Undefined) or prevalence.items < MIN_RARE:
        return Verdict.TOO_FEW
    return verdict([prevalence.false_same, *own], SAME_SHARE)
