"""Computes the figures of pairs: error rates, bias, evidence, stated probabilities, and where errors lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate
from fr_core.scoring.likelihood import brier, expected_calibration_error, log_loss
from fr_locales.messages import message
from fr_training.answers import DIFFICULTIES
from fr_training.grading.evidence import EvidenceFigures, evidence
from fr_training.grading.fusion import with_machine, with_machine_gain
from fr_training.grading.rates import ErrorFigures, MachineFigures, Roc, error_figures, machine_figures, roc_of_ratings
from fr_training.grading.values import Area, Maybe, Times, Undefined, grouped, share, times, unless_undefined
from fr_training.statistics.clustered import t_quantile
from fr_training.statistics.decisions import calibration_error_by_chance
from fr_training.statistics.estimates import Estimate, difference_of_rates
from fr_training.trials import Result

THIRDS = ("easy", "middle", "hard")  # of the pairs of one truth, by the difficulty of their items

NO_PAIRS = {"easy": message("none.easy"), "middle": message("none.middle"), "hard": message("none.hard")}

CELLS = 2 * len(THIRDS)

FEWEST = 5  # trials below which a place of errors is not named


@dataclass(frozen=True, slots=True)
class ErrorsAt:
    """The errors at one place."""

    truth: str  # "same" or "different"
    third: str  # one of THIRDS
    wrong: Maybe[Rate]  # share of wrong answers
    stands_out: bool  # whether it is higher than in all other pairs, by more than chance makes in one of six places


def errors_at(pairs: Sequence[Result]) -> tuple[ErrorsAt, ...]:
    """The pairs of each truth in thirds by the difficulty of their items; equal difficulties stay together."""
    placed = [one for one in pairs if one.b is not None]
    cells = {
        (truth, third): some
        for truth in ("same", "different")
        for third, some in zip(THIRDS, _thirds([one for one in placed if one.truth == truth]), strict=True)
    }
    return tuple(
        ErrorsAt(
            truth,
            third,
            share(sum(one.correct is False for one in some), len(some), NO_PAIRS[third]),
            _stands_out(some, [one for place, others in cells.items() if place != (truth, third) for one in others]),
        )
        for (truth, third), some in cells.items()
    )


def _thirds(placed: Sequence[Result]) -> list[list[Result]]:
    ordered = sorted(placed, key=lambda one: one.b or 0.0)
    hardness = np.array([one.b for one in ordered], dtype=np.float64)
    rank = np.searchsorted(hardness, hardness, side="left")
    third = np.minimum(rank * len(THIRDS) // max(1, len(ordered)), len(THIRDS) - 1).tolist()
    return [[one for one, its in zip(ordered, third, strict=True) if its == place] for place in range(len(THIRDS))]


def _stands_out(here: Sequence[Result], others: Sequence[Result]) -> bool:
    """Newcombe's interval of the difference, with the correction of Bonferroni for six cells; and of items, as well.

    The answers of several trainees to one item go together, so that their items must differ too.
    """
    if len(here) < FEWEST or not others:
        return False
    confidence = 1.0 - (1.0 - DEFAULT_CONFIDENCE) / CELLS
    wrong = [sum(one.correct is False for one in some) for some in (here, others)]
    if difference_of_rates(wrong[0], len(here), wrong[1], len(others), confidence).low <= 0.0:
        return False
    return len({one.trainee_id for one in here}) == 1 or _items_differ(_of_items(here), _of_items(others), confidence)


def _of_items(pairs: Sequence[Result]) -> F64:
    """f64[items]: of each, the share of wrong answers."""
    items = grouped(pairs, lambda one: (one.form, one.item_id)).values()
    return np.array([sum(one.correct is False for one in some) / len(some) for some in items], dtype=np.float64)


def _items_differ(here: F64, others: F64, confidence: float) -> bool:
    """True if the first mean is above the second beyond chance.

    It is the interval of B. L. Welch, "The generalization of 'Student's' problem when several different population
    variances are involved", Biometrika 34 (1947) 28-35.
    """
    if len(here) < FEWEST or len(others) < FEWEST:
        return False
    errors = here.var(ddof=1) / len(here), others.var(ddof=1) / len(others)
    if not sum(errors):
        return bool(here.mean() > others.mean())
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / (len(here) - 1) + errors[1] ** 2 / (len(others) - 1))
    return bool(here.mean() - others.mean() > t_quantile(0.5 + confidence / 2, float(freedom)) * sqrt(sum(errors)))


PROBABILITY_BINS = 5


@dataclass(frozen=True, slots=True)
class ProbabilityBin:
    """Stated probabilities that lie together."""

    low: float  # lower end of the bin, which it holds
    high: float  # upper end, which only the last bin holds
    mean: float  # of the stated probabilities
    same: Rate  # how many of the pairs do show one person


@dataclass(frozen=True, slots=True)
class ProbabilityFigures:
    """The quality of stated probabilities."""

    trials: int  # for which one was stated
    brier: float  # mean squared distance from the truth, in [0, 1]; always .5 gives .25
    log_loss: Maybe[float]  # nats; always .5 gives .693
    calibration_error: float  # mean distance of the stated probabilities from shares, five equal bins, in [0, 1]
    # What it is on average of somebody whose probabilities are right, of so few trials.
    calibration_error_by_chance: float
    bins: tuple[ProbabilityBin, ...]  # those that hold a trial


@dataclass(frozen=True, slots=True)
class FeltDifficulty:
    """Trials that the trainee found equally hard."""

    level: int  # from 1, easy, to 5, hard
    trials: int  # that were rated so
    right: Maybe[Rate]  # share of right answers
    # Mean difficulty of their items by the machine, standard deviations; None where no item has one.
    mean_b: float | None


@dataclass(frozen=True, slots=True)
class PairFigures:
    """The figures of rated pairs."""

    trials: int  # answered pairs of known truth
    same: int  # of them, pairs of one person
    different: int  # pairs of two people
    undecided: int  # rated 0
    errors: ErrorFigures  # both error rates, with and without the undecided; sensitivity and bias
    roc: Maybe[Roc]  # of the ratings
    evidence: Maybe[EvidenceFigures]  # what each rating has been worth
    probabilities: Maybe[ProbabilityFigures]  # of P(same), where it was stated
    felt: tuple[FeltDifficulty, ...]  # of difficulties that were stated, from easy to hard
    errors_at: tuple[ErrorsAt, ...]  # by truth and difficulty
    times: Times  # of right and of wrong answers
    machine: MachineFigures  # on the same pairs, each counted once
    # Area of the average of the trainees' ratings and the machine's similarities, both standardised; without an
    # interval where several trainees judged a pair.
    with_machine: Maybe[Area]
    with_machine_gain: Maybe[Estimate]  # that area less the larger of the two alone, of the same pairs


def pair_figures(pairs: Sequence[Result]) -> PairFigures:
    """Compute the figures of pairs as `fr_training.grading.values.pairs` selects them."""
    return PairFigures(
        trials=len(pairs),
        same=sum(one.truth == "same" for one in pairs),
        different=sum(one.truth == "different" for one in pairs),
        undecided=sum(one.rating == 0 for one in pairs),
        errors=error_figures(pairs),
        roc=roc_of_ratings(pairs),
        evidence=unless_undefined(lambda: evidence(pairs)),
        probabilities=_probabilities(pairs),
        felt=_felt(pairs),
        errors_at=errors_at(pairs),
        times=times(pairs),
        machine=machine_figures(pairs),
        with_machine=with_machine(pairs),
        with_machine_gain=with_machine_gain(pairs),
    )


def _probabilities(pairs: Sequence[Result]) -> Maybe[ProbabilityFigures]:
    stated = [(one.p_same, one.truth == "same") for one in pairs if one.p_same is not None]
    if not stated:
        return Undefined(message("undefined.no_probability"))
    values = np.array([value for value, _ in stated], dtype=np.float64)
    truth = np.array([same for _, same in stated], dtype=np.bool_)
    ends = np.arange(PROBABILITY_BINS + 1) / PROBABILITY_BINS
    places = np.searchsorted(ends[1:-1], values, side="right")
    bins = []
    for place in np.unique(places).tolist():
        here = places == place
        same = share(int(truth[here].sum()), int(here.sum()), message("none.trials"))
        if isinstance(same, Rate):
            bins.append(ProbabilityBin(float(ends[place]), float(ends[place + 1]), float(values[here].mean()), same))
    return ProbabilityFigures(
        trials=len(stated),
        brier=brier(values, truth),
        log_loss=unless_undefined(lambda: log_loss(values, truth)),
        calibration_error=expected_calibration_error(values, truth, PROBABILITY_BINS),
        calibration_error_by_chance=calibration_error_by_chance(values, PROBABILITY_BINS),
        bins=tuple(bins),
    )


def _felt(pairs: Sequence[Result]) -> tuple[FeltDifficulty, ...]:
    found = []
    for level in DIFFICULTIES:
        here = [one for one in pairs if one.difficulty == level]
        hard = [one.b for one in here if one.b is not None]
        right = share(sum(one.correct is True for one in here), len(here), message("none.felt_so_hard"))
        found.append(FeltDifficulty(level, len(here), right, sum(hard) / len(hard) if hard else None))
    return tuple(found)
