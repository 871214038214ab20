"""Both error rates of pairs, with and without the undecided, and sensitivity and bias, which stand behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.intervals import Rate
from fr_training.grading.values import Maybe, Undefined, share, unless_undefined
from fr_training.results import Result
from fr_training.statistics.decisions import SignalCounts, decided, signal_counts
from fr_training.statistics.signal_detection import Sensitivity, sensitivity


@dataclass(frozen=True, slots=True)
class WithUndecided:
    """Errors where some trials may be left undecided.

    Attributes:
        of_all: wrong decisions, of all trials.
        of_decided: wrong decisions, of the trials that were decided.
        coverage: trials that were decided, of all.
    """

    of_all: Maybe[Rate]
    of_decided: Maybe[Rate]
    coverage: Maybe[Rate]


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """Of rated pairs.

    Attributes:
        right: share of right answers, of all; the undecided are not right.
        misses: pairs of one person that were called different (as a false non-match).
        false_same: pairs of two people that were called the same (as a false match).
        sensitivity: d' and criterion c; the undecided count as not called "same". c < 0 is too ready to say "same".
    """

    right: Maybe[Rate]
    misses: WithUndecided
    false_same: WithUndecided
    sensitivity: Maybe[Sensitivity]


Known = dict[SignalCounts, Sensitivity]
"""What was computed already; of many trainees, several have the same counts."""


def error_figures(pairs: Sequence[Result], known: Known | None = None) -> ErrorFigures:
    """Of pairs as `fr_training.grading.splitting.pairs` selects them; `known` is added to."""
    same = [one.rating or 0 for one in pairs if one.truth == "same"]
    different = [one.rating or 0 for one in pairs if one.truth == "different"]
    right = sum(rating > 0 for rating in same) + sum(rating < 0 for rating in different)
    return ErrorFigures(
        right=share(right, len(pairs), "rated pairs"),
        misses=with_undecided(
            sum(rating > 0 for rating in same), sum(rating < 0 for rating in same), len(same), "pairs of one person"
        ),
        false_same=with_undecided(
            sum(rating < 0 for rating in different),
            sum(rating > 0 for rating in different),
            len(different),
            "pairs of two people",
        ),
        sensitivity=unless_undefined(lambda: sensitivity_of(pairs, known)),
    )


def with_undecided(right: int, wrong: int, total: int, what: str) -> WithUndecided:
    """Errors of `total` trials, some of which may be neither right nor wrong; `what` names the trials."""
    if not total:
        none = Undefined(f"There are no {what}.")
        return WithUndecided(none, none, none)
    found = decided(right, wrong, total - right - wrong)
    return WithUndecided(
        found.errors_of_all,
        found.errors_of_conclusive or Undefined(f"All {what} were left undecided."),
        found.coverage,
    )


def sensitivity_of(pairs: Sequence[Result], known: Known | None = None) -> Sensitivity:
    """d' and c of the last ratings; `known` is added to.

    Raises:
        UndefinedRate: there is no pair of one person, or none of two.
    """
    ratings = np.array([one.rating or 0 for one in pairs], dtype=np.int64)
    counts = signal_counts(ratings, np.array([one.truth == "same" for one in pairs], dtype=np.bool_))
    known = {} if known is None else known
    if counts not in known:
        known[counts] = sensitivity(counts.hits, counts.mated, counts.false_alarms, counts.nonmated)
    return known[counts]
