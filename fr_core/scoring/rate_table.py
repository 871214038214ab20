"""Both error rates over all thresholds as a compact table, which never shows a rate lower than was observed."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, isfinite
from operator import itemgetter

import numpy as np

from fr_core.scoring.checks import F64, check_confidence, check_failures, check_similarities, check_threshold
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Interval, Rate, UndefinedRate, rate
from fr_core.types import I64
from fr_locales.messages import message

# Up to this many errors each count has a row; from there on a row comes every 2 % more errors.
EXACT_COUNTS = 100
COUNT_RATIO = 1.02


@dataclass(frozen=True, slots=True)
class RateTable:
    """Errors at rising thresholds. Between two rows the worse of the two counts, so that no rate is flattered."""

    # Match iff similarity >= threshold; strictly ascending, finite. The first accepts all comparisons, the last none.
    thresholds: tuple[float, ...]
    false_matches: tuple[int, ...]  # non-mated comparisons accepted at each threshold; from `nonmated` down to 0
    # Mated comparisons rejected at each, and all mated failures; from those up to `mated`.
    false_non_matches: tuple[int, ...]
    nonmated: int  # non-mated comparisons that were made, at least 1
    mated: int  # mated comparisons, at least 1 that was made; the failures are among them
    nonmated_failures: int  # further non-mated pairs that could not be compared; in no rate
    mated_failures: int  # mated pairs that could not be compared; each is a false non-match at every threshold
    confidence: float = DEFAULT_CONFIDENCE  # of the Wilson intervals, in (0, 1)
    # (threshold, interval of the false match rate there that knows that comparisons share people), for those of the
    # thresholds where one was computed, ascending.
    bootstrap: tuple[tuple[float, Interval], ...] = ()

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        check_failures(self.nonmated_failures)
        check_failures(self.mated_failures)
        rows = {len(self.thresholds), len(self.false_matches), len(self.false_non_matches)}
        if len(rows) > 1 or len(self.thresholds) < 2:
            raise ValueError("A table of rates has two rows at least, and all columns are as long.")
        if not all(map(isfinite, self.thresholds)) or any(b <= a for a, b in pairwise(self.thresholds)):
            raise ValueError("The thresholds of a table rise, and are finite.")
        matches, misses = self.false_matches, self.false_non_matches
        if any(b > a for a, b in pairwise(matches)) or (matches[0], matches[-1]) != (self.nonmated, 0):
            raise ValueError("False matches fall from all non-mated comparisons to none.")
        if any(b < a for a, b in pairwise(misses)) or (misses[0], misses[-1]) != (self.mated_failures, self.mated):
            raise ValueError("False non-matches rise from the failures to all mated comparisons.")
        if self.nonmated < 1 or self.mated <= self.mated_failures:
            raise ValueError("A table of rates needs at least one mated and one non-mated comparison.")
        resampled = [threshold for threshold, _ in self.bootstrap]
        if resampled != sorted(set(resampled) & set(self.thresholds)):
            raise ValueError("Bootstrap limits are given for thresholds of the table, once each, ascending.")
        for _, limits in self.bootstrap:
            check_confidence(limits.confidence)
            if not 0.0 <= limits.low <= limits.high <= 1.0:
                raise ValueError("The bootstrap limits of a rate lie in [0, 1], the lower one first.")

    def fmr_at(self, threshold: float) -> Rate:
        """The false match rate, with its Wilson interval: that of the last row not above the threshold.

        ValueError: the threshold is NaN.
        """
        return rate(self.false_matches[self._row_not_above(threshold)], self.nonmated, self.confidence)

    def fmr_bootstrap_at(self, threshold: float) -> Interval:
        """The bootstrap interval of `fmr_at`, of the same row; UndefinedRate if none was computed for it.

        ValueError: the threshold is NaN.
        """
        row = self.thresholds[self._row_not_above(threshold)]
        place = bisect_left(self.bootstrap, row, key=itemgetter(0))
        if place == len(self.bootstrap) or self.bootstrap[place][0] != row:
            raise UndefinedRate(message("undefined.core.no_bootstrap_interval_false"))
        return self.bootstrap[place][1]

    def fnmr_at(self, threshold: float) -> Rate:
        """The false non-match rate, with its Wilson interval: that of the first row not below the threshold.

        ValueError: the threshold is NaN.
        """
        check_threshold(threshold)
        row = min(bisect_left(self.thresholds, threshold), len(self.thresholds) - 1)
        return rate(self.false_non_matches[row], self.mated, self.confidence)

    def threshold_at_fmr(self, target: float) -> float:
        """The lowest threshold of the table whose observed false match rate is at most `target`, in (0, 1].

        Raises `UndefinedRate`: fewer than 1 / target comparisons, which cannot show a rate that low; `ValueError`: the
        target is not in (0, 1].
        """
        if not 0.0 < target <= 1.0:
            raise ValueError(f"The target must lie in (0, 1], and is {target}.")
        if 1 / self.nonmated > target:
            raise UndefinedRate(
                message("undefined.core.fmr", target=target, nonmated=self.nonmated, lowest=1 / self.nonmated)
            )
        rows = zip(self.thresholds, self.false_matches, strict=True)
        return next(threshold for threshold, count in rows if count / self.nonmated <= target)

    def _row_not_above(self, threshold: float) -> int:
        check_threshold(threshold)
        return max(bisect_right(self.thresholds, threshold) - 1, 0)


def rate_table(mated: F64, nonmated: F64, mated_failures: int = 0, nonmated_failures: int = 0) -> RateTable:
    """The table of f64[n] mated and f64[m] non-mated finite similarities.

    A row for each of the first 100 errors of either kind, for every 2 % more of them, and for false match rates of .1,
    .01 and so on: some 1,500 rows for ten million comparisons.

    Raises `UndefinedRate`: n or m is 0; `ValueError`: shape or dtype differs from the above, a similarity is not
    finite, or a number of failures is negative.
    """
    check_similarities(mated)
    check_similarities(nonmated)
    if not len(mated) or not len(nonmated):
        raise UndefinedRate(message("undefined.core.calibration_needs_least_mated"))
    mates, others = np.sort(mated), np.sort(nonmated)
    # The lowest threshold that accepts no more than so many of the others, the highest that rejects no more mates.
    for_matches = np.nextafter(others[len(others) - 1 - _counts(len(others))], np.inf)
    for_misses = mates[_counts(len(mates))]
    all_accepted = min(mates[0], others[0])
    none_accepted = np.nextafter(max(mates[-1], others[-1]), np.inf)
    thresholds = np.unique(np.concatenate([for_matches, for_misses, [all_accepted, none_accepted]]))
    false_matches = len(others) - np.searchsorted(others, thresholds)
    misses = np.searchsorted(mates, thresholds) + mated_failures
    return RateTable(
        tuple(thresholds.tolist()),
        tuple(false_matches.tolist()),
        tuple(misses.tolist()),
        len(others),
        len(mates) + mated_failures,
        nonmated_failures,
        mated_failures,
    )


def _counts(total: int) -> I64:
    """i64[k], numbers of errors, all below `total`, that get a row."""
    each = np.arange(min(EXACT_COUNTS, total))
    steps = np.log(total / EXACT_COUNTS) / np.log(COUNT_RATIO) if total > EXACT_COUNTS else 0.0
    spaced = (EXACT_COUNTS * COUNT_RATIO ** np.arange(ceil(steps))).astype(np.int64)
    decades = np.array([total // 10**power for power in range(1, len(str(total)))], dtype=np.int64)
    counts = np.unique(np.concatenate([each, spaced, decades]))
    return counts[counts < total]
