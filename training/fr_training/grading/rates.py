"""Computes error rates of pairs, sensitivity and bias, ROC curves, and the machine's figures on the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.auc import auc, auc_delong
from fr_core.scoring.checks import F64
from fr_core.scoring.det import det_curve
from fr_core.scoring.intervals import Rate, UndefinedRate
from fr_core.scoring.likelihood import cllr
from fr_locales.messages import Message, message
from fr_training.grading.values import Area, Maybe, Undefined, first_of_items, share, unless_undefined
from fr_training.statistics.decisions import SignalCounts, signal_counts
from fr_training.statistics.signal_detection import Sensitivity, sensitivity
from fr_training.trials import Result


@dataclass(frozen=True, slots=True)
class WithUndecided:
    """Errors where some trials may be left undecided."""

    of_all: Maybe[Rate]  # wrong decisions, of all trials
    of_decided: Maybe[Rate]  # wrong decisions, of the trials that were decided
    coverage: Maybe[Rate]  # trials that were decided, of all


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """The errors of rated pairs."""

    right: Maybe[Rate]  # share of right answers, of all; the undecided are not right
    misses: WithUndecided  # pairs of one person that were called different (as a false non-match)
    false_same: WithUndecided  # pairs of two people that were called the same (as a false match)
    # D' and criterion c; the undecided count as not called "same". c < 0 is too ready to say "same".
    sensitivity: Maybe[Sensitivity]


LEAST_OF_CLASS = 10
"""Pairs of one person, and of two, below which there is no d' and no c: intervals are wider than people differ."""

Known = dict[SignalCounts, Sensitivity]  # sensitivities by counts; several trainees have the same counts


def error_figures(pairs: Sequence[Result], known: Known | None = None) -> ErrorFigures:
    """Compute the errors of pairs as `fr_training.grading.values.pairs` selects them, and add to `known`."""
    same = [one.rating or 0 for one in pairs if one.truth == "same"]
    different = [one.rating or 0 for one in pairs if one.truth == "different"]
    right = sum(rating > 0 for rating in same) + sum(rating < 0 for rating in different)
    return ErrorFigures(
        right=share(right, len(pairs), message("none.rated_pairs")),
        misses=with_undecided(
            sum(rating > 0 for rating in same),
            sum(rating < 0 for rating in same),
            len(same),
            message("none.pairs_of_one"),
            message("undecided.pairs_of_one"),
        ),
        false_same=with_undecided(
            sum(rating < 0 for rating in different),
            sum(rating > 0 for rating in different),
            len(different),
            message("none.pairs_of_two"),
            message("undecided.pairs_of_two"),
        ),
        sensitivity=unless_undefined(lambda: sensitivity_of(pairs, known)),
    )


def with_undecided(right: int, wrong: int, total: int, lacking: Message, undecided: Message) -> WithUndecided:
    """Errors of `total` trials, some of which may be neither right nor wrong.

    Leaving the undecided out makes a person who decides only easy pairs look good; counting them as errors makes a
    careful person look bad. So both shares are given, and the share decided with them: A. Scurich and R. S. John,
    "Three-way ROCs for forensic decision making", Statistics and Public Policy 10 (2023); M. Hofmann, A. Carriquiry and
    S. Vanderplas, "Treatment of inconclusives in the AFTE range of conclusions", Law, Probability and Risk 19 (2020)
    317-364. `lacking` says that there is no such trial, `undecided` that all were left undecided.
    """
    conclusive = share(wrong, right + wrong, undecided if total else lacking)
    return WithUndecided(share(wrong, total, lacking), conclusive, share(right + wrong, total, lacking))


def sensitivity_of(pairs: Sequence[Result], known: Known | None = None) -> Sensitivity:
    """Compute d' and c of the last ratings, and add to `known`.

    Raises:
        UndefinedRate: there are fewer than LEAST_OF_CLASS pairs of a kind, or an adaptive block chose some of them.
    """
    if any(one.adaptive for one in pairs):
        raise UndefinedRate(message("undefined.adaptive"))
    ratings = np.array([one.rating or 0 for one in pairs], dtype=np.int64)
    counts = signal_counts(ratings, np.array([one.truth == "same" for one in pairs], dtype=np.bool_))
    require_enough(min(counts.mated, counts.nonmated))
    known = {} if known is None else known
    if counts not in known:
        known[counts] = sensitivity(*counts)
    return known[counts]


def require_enough(fewest: int) -> None:
    """Raise `UndefinedRate` if there are fewer than LEAST_OF_CLASS pairs of a kind."""
    if fewest < LEAST_OF_CLASS:
        raise UndefinedRate(message("undefined.few_for_sensitivity", least=LEAST_OF_CLASS))


MOST_POINTS = 60  # of a curve that is kept for a plot


@dataclass(frozen=True, slots=True)
class RocPoint:
    """A point of a curve, at one threshold."""

    false_same: float  # share of pairs of two people at or above it
    hits: float  # share of pairs of one person at or above it


@dataclass(frozen=True, slots=True)
class Roc:
    """A curve."""

    points: tuple[RocPoint, ...]  # from (0, 0) to (1, 1), MOST_POINTS at most
    area: Area  # under all of it


def roc_of_ratings(pairs: Sequence[Result]) -> Maybe[Roc]:
    """The curve of the ratings of pairs of known truth; none of pairs that an adaptive block chose."""
    if any(one.adaptive for one in pairs):
        return Undefined(message("undefined.adaptive"))
    return roc(*scores(pairs, [float(one.rating or 0) for one in pairs]))


def scores(pairs: Sequence[Result], values: Sequence[float]) -> tuple[F64, F64]:
    """f64[n], f64[m]: the values of pairs of one person, and of two people."""
    same = [value for one, value in zip(pairs, values, strict=True) if one.truth == "same"]
    different = [value for one, value in zip(pairs, values, strict=True) if one.truth == "different"]
    return np.array(same, dtype=np.float64), np.array(different, dtype=np.float64)


def roc(same: F64, different: F64) -> Maybe[Roc]:
    """The curve of values that are higher where a pair looks more like one person; f64[n] and f64[m], finite."""
    if not len(same) or not len(different):
        return Undefined(message("undefined.curve"))
    curve = det_curve(same, different).thinned(MOST_POINTS)
    points = [RocPoint(float(fmr), float(1 - fnmr)) for fmr, fnmr in zip(curve.fmr, curve.fnmr, strict=True)]
    return Roc(tuple(reversed(points)), area(same, different))


def area(same: F64, different: F64) -> Area:
    """The area, with DeLong's interval where there is one; neither may be empty."""
    try:
        found = auc_delong(same, different)
    except UndefinedRate as undefined:
        return Area(auc(same, different), Undefined(undefined.reason))
    return Area(found.value, found.interval, found.standard_error)


@dataclass(frozen=True, slots=True)
class MachineRates:
    """The errors of the machine at an operating point; each pair counts once."""

    right: Maybe[Rate]  # share that it has right
    misses: Maybe[Rate]  # pairs of one person that it calls different
    false_same: Maybe[Rate]  # pairs of two people that it calls the same


@dataclass(frozen=True, slots=True)
class MachineFigures:
    """The figures of the machine. A pair counts once for all its answers; in `agrees`, once for each answer."""

    trials: int  # different pairs that it compared
    search: Maybe[MachineRates]  # at the threshold of a search; undefined in a course that an earlier version made
    at_fmr: Maybe[MachineRates]  # at the false match rate of the plan; undefined where its calibration shows none
    roc: Maybe[Roc]  # of its similarities
    # Cost of its likelihood ratios in bits, of the pairs that have one; 0 is perfect, 1 is no evidence.
    cllr: Maybe[float]
    # Share of answers that say the same as the machine at the threshold of a search; an undecided trainee agrees with
    # nobody.
    agrees: Maybe[Rate]


def machine_figures(pairs: Sequence[Result]) -> MachineFigures:
    """Compute the machine's figures on rated pairs of known truth, of one trainee or of several together."""
    answers = [one for one in pairs if one.machine_search]
    different_pairs = first_of_items(pairs)
    compared = [one for one in different_pairs if one.similarity is not None]
    weighed = [one for one in different_pairs if one.log10_lr is not None]
    return MachineFigures(
        trials=len(compared),
        search=_machine_rates([(one.truth, one.machine_search) for one in different_pairs]),
        at_fmr=_machine_rates([(one.truth, one.machine_at_fmr) for one in different_pairs]),
        roc=roc(*scores(compared, [one.similarity or 0.0 for one in compared])),
        cllr=unless_undefined(lambda: cllr(*scores(weighed, [one.log10_lr or 0.0 for one in weighed]))),
        agrees=share(
            sum(one.machine_search == one.answer for one in answers), len(answers), message("none.machine_pairs")
        ),
    )


def _machine_rates(said: Sequence[tuple[str, str]]) -> Maybe[MachineRates]:
    """Of pairs, each with what is right and what the machine says, "" where it has no such operating point."""
    told = [one for one in said if one[1]]
    if not told:
        return Undefined(message("none.machine_pairs"))
    same, different = ([said for truth, said in told if truth == kind] for kind in ("same", "different"))
    return MachineRates(
        right=share(sum(truth == said for truth, said in told), len(told), message("none.machine_pairs")),
        misses=share(same.count("different"), len(same), message("none.machine_pairs_of_one")),
        false_same=share(different.count("same"), len(different), message("none.machine_pairs_of_two")),
    )
