"""Measures what moves a trainee beside the photos: the machine's advice, and rare pairs of two people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.intervals import Rate
from fr_locales.messages import message
from fr_training.grading.rates import require_enough, sensitivity_of
from fr_training.grading.values import Maybe, Undefined, pairs, plain_pairs, share, unless_undefined
from fr_training.prompts import ExerciseKind
from fr_training.statistics.advice import (
    AdviceGain,
    Aided,
    ByLabel,
    advice_gain,
    automation_bias,
    by_label,
    helped,
    misled,
)
from fr_training.statistics.estimates import Estimate, RateDifference, difference_of_rates
from fr_training.statistics.signal_detection import Difference, difference
from fr_training.trials import Result


@dataclass(frozen=True, slots=True)
class AutomationBias:
    """What the advice moved."""

    net: Estimate  # shift of the criterion to what the machine says; about 0 is healthy
    by_label: Maybe[ByLabel]  # undefined where a label has fewer than `LEAST_OF_CLASS` pairs of a kind


@dataclass(frozen=True, slots=True)
class AidedFigures:
    """Pairs that were rated before and after the machine's advice."""

    trials: int  # rated both times
    advice_wrong: int  # of them, trials whose advice was wrong
    items_advised_wrong: int  # different pairs with wrong advice
    right_before: Maybe[Rate]  # share of right answers before the advice
    right_after: Maybe[Rate]  # share of right answers after it
    misled: Maybe[Rate]  # wrong after, of the trials with wrong advice that were right before
    helped: Maybe[Rate]  # right after, of the trials with right advice that were not right before
    bias: Maybe[AutomationBias]
    gain: Maybe[AdviceGain]  # what the advice did over all pairs


@dataclass(frozen=True, slots=True)
class PrevalenceFigures:
    """Pairs of two people in blocks where they are rare, beside all other blocks."""

    items: int  # different pairs of two people where they are rare; few of them may be harder, or easier, by chance
    # Pairs of two people called the same: share where they are rare less the share elsewhere.
    false_same: Maybe[RateDifference]
    sensitivity: Maybe[Difference]  # change of d' and of c from elsewhere to where they are rare


def aided_figures(results: Sequence[Result], seed: int) -> Maybe[AidedFigures]:
    """Compute the figures of the aided pairs of one trainee, or of several; undefined where there is none."""
    rated = advised(results)
    if not rated:
        return Undefined(message("none.aided"))
    trials = aided_trials(rated)
    before = sum((one.rating_before or 0) * (1 if one.truth == "same" else -1) > 0 for one in rated)
    return AidedFigures(
        trials=len(rated),
        advice_wrong=sum(one.advice != one.truth for one in rated),
        items_advised_wrong=len({(one.form, one.item_id) for one in rated if one.advice != one.truth}),
        right_before=share(before, len(rated), message("none.aided")),
        right_after=share(sum(one.correct is True for one in rated), len(rated), message("none.aided")),
        misled=unless_undefined(lambda: misled(trials)),
        helped=unless_undefined(lambda: helped(trials)),
        bias=unless_undefined(lambda: _bias(trials, np.random.default_rng([seed, 1]))),
        gain=unless_undefined(lambda: _gain(trials, np.random.default_rng([seed, 2]))),
    )


def _bias(trials: Aided, rng: np.random.Generator) -> AutomationBias:
    def enough() -> ByLabel:
        require_enough(min(int(here.sum()) for _, here in trials.cells()))
        return by_label(trials)

    return AutomationBias(automation_bias(trials, rng), unless_undefined(enough))


def _gain(trials: Aided, rng: np.random.Generator) -> AdviceGain:
    mated = int(trials.mated.sum())
    require_enough(min(mated, len(trials.mated) - mated))
    return advice_gain(trials, rng)


def advised(results: Sequence[Result]) -> list[Result]:
    """The pairs that were rated before and after advice."""
    return [
        one
        for one in pairs(results)
        if one.exercise == ExerciseKind.AIDED and one.rating_before is not None and one.advice
    ]


def aided_trials(rated: Sequence[Result]) -> Aided:
    """Pairs as `advised` selects them, as arrays."""
    return Aided(
        before=np.array([one.rating_before for one in rated], dtype=np.int64),
        after=np.array([one.rating for one in rated], dtype=np.int64),
        mated=np.array([one.truth == "same" for one in rated], dtype=np.bool_),
        aid_same=np.array([one.advice == "same" for one in rated], dtype=np.bool_),
    )


def prevalence_figures(results: Sequence[Result]) -> Maybe[PrevalenceFigures]:
    """Compare pairs where different people are rare with plain pairs.

    Source of the effect: M. H. Papesh and S. D. Goldinger, "Infrequent identity mismatches are frequently undetected",
    Attention, Perception, and Psychophysics 76 (2014) 1335-1349.
    """
    rated = pairs(results)
    rare = [one for one in rated if one.exercise == ExerciseKind.LOW_PREVALENCE]
    usual = plain_pairs(rated)
    if not rare:
        return Undefined(message("none.rare"))
    (rare_wrong, rare_all), (usual_wrong, usual_all) = (_called_same(rare), _called_same(usual))
    return PrevalenceFigures(
        items=len({(one.form, one.item_id) for one in rare if one.truth == "different"}),
        false_same=unless_undefined(lambda: difference_of_rates(rare_wrong, rare_all, usual_wrong, usual_all)),
        sensitivity=unless_undefined(lambda: difference(sensitivity_of(rare), sensitivity_of(usual))),
    )


def _called_same(rated: Sequence[Result]) -> tuple[int, int]:
    different = [one for one in rated if one.truth == "different"]
    return sum(one.answer == "same" for one in different), len(different)
