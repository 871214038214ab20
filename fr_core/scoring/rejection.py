"""Measures a quality score: how misses fall as the worst pairs are discarded, and error rates by quality.

The quality of a pair is that of its worse photo (`pair_qualities`), higher is better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fr_core.scoring.checks import F64, check_failures, check_similarities, check_threshold
from fr_core.scoring.intervals import Rate, UndefinedRate, rate
from fr_core.scoring.verification import false_match_rate, false_non_match_rate
from fr_locales.messages import message

# Twentieths up to one half: past that a service would refuse most of its photos.
SHARES = tuple(step / 20 for step in range(11))


@dataclass(frozen=True, slots=True)
class DiscardPoint:
    """The misses that are left when the pairs of lowest quality are discarded."""

    share: float  # of the pairs to be discarded, as asked for, in [0, 1)
    discarded: int  # pairs that are; fewer than asked for where more pairs of one quality would have to go together
    lowest_quality: float  # of the pairs that are kept
    fnmr: Rate  # of the pairs that are kept, and the failures
    ideal: float  # the FNMR that a quality would reach which discards nothing but misses, as long as there are any


@dataclass(frozen=True, slots=True)
class QualityBin:
    """The error rates of the pairs of one range of quality, low <= quality < high, in the last bin <= high."""

    low: float  # lower edge
    high: float  # upper edge
    fnmr: Rate | None  # of the mated pairs in the bin, or None where there is none
    fmr: Rate | None  # of the non-mated pairs in the bin, or None where there is none


def pair_qualities(first: F64, second: F64) -> F64:
    """f64[n]: the lower quality of the two photos of each pair, from f64[n] finite qualities of each.

    Source: P. Grother and E. Tabassi, "Performance of biometric quality measures", IEEE Transactions on Pattern
    Analysis and Machine Intelligence 29 (2007) 531-543, who take the worse sample to decide.

    Raises `ValueError`: shapes or dtypes differ from the above, or a quality is not finite.
    """
    _check_qualities(first, second)
    _check_qualities(second, first)
    return np.minimum(first, second)


def discard_curve(
    mated: F64, qualities: F64, threshold: float, shares: Sequence[float] = SHARES, failures: int = 0
) -> tuple[DiscardPoint, ...]:
    """The error-versus-discard characteristic: FNMR at a fixed threshold as the lowest qualities are discarded.

    A quality that predicts misses makes it fall, towards `ideal`; one that does not leaves it flat. Pairs of equal
    quality stay or go together, as a limit on quality would have it. Sources: Grother and Tabassi (2007), see
    `pair_qualities`; T. Schlett, C. Rathgeb, J. Tapia and C. Busch, "Considerations on the evaluation of biometric
    quality assessment algorithms", IEEE Transactions on Biometrics, Behavior, and Identity Science 6 (2024) 54-67.

    Args:
        mated: f64[n], finite similarities of mated pairs.
        qualities: f64[n], finite, of these pairs; higher is better.
        threshold: accept iff similarity >= threshold; the same at all shares.
        shares: of the n pairs to discard, each in [0, 1).
        failures: further mated pairs that could not be compared. They have no quality to be discarded by, so they
            count as misses at every share.

    Raises `UndefinedRate`: n is 0; `ValueError`: shapes, dtypes or ranges differ from the above.
    """
    check_similarities(mated)
    _check_qualities(qualities, mated)
    check_threshold(threshold)
    check_failures(failures)
    if not len(mated):
        raise UndefinedRate(message("undefined.core.no_mated_pair_compared"))
    order = np.argsort(qualities, kind="stable")
    ascending = qualities[order]
    missed_below = np.concatenate([[0], np.cumsum(mated[order] < threshold)])  # among the first i pairs
    misses = int(missed_below[-1])
    points = []
    for share in shares:
        discarded = _discarded(ascending, share)
        total = len(mated) - discarded + failures
        left = misses - int(missed_below[discarded]) + failures
        ideal = (max(0, misses - discarded) + failures) / total
        points.append(DiscardPoint(share, discarded, float(ascending[discarded]), rate(left, total), ideal))
    return tuple(points)


def quality_edges(qualities: F64, bins: int) -> F64:
    """f64[k + 1], ascending, k <= bins: edges of bins that hold about as many pairs each; fewer where qualities repeat.

    Raises `UndefinedRate`: there are no qualities, or all are equal, so that no range can be divided; `ValueError`:
    `qualities` is not f64[n] and finite, or bins is less than 1.
    """
    _check_qualities(qualities, qualities)
    if bins < 1:
        raise ValueError(f"There must be one bin at least, not {bins}.")
    if not len(qualities) or qualities.min() == qualities.max():
        raise UndefinedRate(message("undefined.core.bins_need_least_two"))
    return np.unique(np.quantile(qualities, np.linspace(0.0, 1.0, bins + 1)))


def rates_by_quality(
    mated: F64, mated_qualities: F64, nonmated: F64, nonmated_qualities: F64, threshold: float, edges: F64
) -> tuple[QualityBin, ...]:
    """FNMR and FMR of each range of quality, with intervals.

    Pairs that could not be compared have no quality and are in no bin: report them beside the bins.

    Args:
        mated: f64[n], finite similarities of mated pairs.
        mated_qualities: f64[n], finite, of these pairs.
        nonmated: f64[m], finite similarities of non-mated pairs.
        nonmated_qualities: f64[m], finite, of these pairs.
        threshold: accept iff similarity >= threshold.
        edges: f64[k + 1], finite, ascending and distinct, k >= 1.

    Raises `ValueError`: shapes, dtypes or ranges differ from the above, or a quality lies outside the edges: no pair is
    left out silently.
    """
    check_threshold(threshold)
    if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise ValueError("Edges of quality are at least two finite numbers, ascending.")
    mated_bins = _bins(mated_qualities, mated, edges)
    nonmated_bins = _bins(nonmated_qualities, nonmated, edges)
    found = []
    for number in range(len(edges) - 1):
        mates, others = mated[mated_bins == number], nonmated[nonmated_bins == number]
        fnmr = false_non_match_rate(mates, threshold) if len(mates) else None
        fmr = false_match_rate(others, threshold) if len(others) else None
        found.append(QualityBin(float(edges[number]), float(edges[number + 1]), fnmr, fmr))
    return tuple(found)


def _discarded(ascending: F64, share: float) -> int:
    """Return how many pairs go: at most the share, and none whose equal in quality stays."""
    if not 0.0 <= share < 1.0:
        raise ValueError(f"The share to discard must lie in [0, 1), and is {share}.")
    wanted = int(share * len(ascending))
    if (wanted + 1) / len(ascending) <= share:  # the product was rounded down
        wanted += 1
    return int(np.searchsorted(ascending, ascending[wanted], side="left"))


def _bins(qualities: F64, similarities: F64, edges: F64) -> npt.NDArray[np.int64]:
    """i64[n]: the number of each pair's bin, from 0."""
    _check_qualities(qualities, similarities)
    if len(qualities) and not edges[0] <= qualities.min() <= qualities.max() <= edges[-1]:
        raise ValueError("A quality lies outside the edges: widen them, so that every pair is in a bin.")
    return np.minimum(np.searchsorted(edges, qualities, side="right") - 1, len(edges) - 2)


def _check_qualities(qualities: F64, similarities: F64) -> None:
    if qualities.dtype != np.float64 or qualities.ndim != 1 or qualities.shape != similarities.shape:
        found = f"{qualities.dtype}{list(qualities.shape)}"
        raise ValueError(f"Qualities are f64[n], one for each of {len(similarities)} pairs, not {found}.")
    if not np.isfinite(qualities).all():
        raise ValueError("A quality is not a finite number.")
