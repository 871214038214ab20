"""Verification, one to one: accuracy, false match and false non-match rates, and thresholds, from similarities.

A pair is accepted iff similarity >= threshold. "Mated" means two photos of one person. A failure is a pair that could
not be compared, as a photo showed no face: it is never dropped. Terms: ISO/IEC 19795-1 and NIST FRTE.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from fr_core.scoring.checks import check_failures, check_pairs, check_similarities, check_threshold
from fr_core.scoring.intervals import Interval, Rate, UndefinedRate, rate, wilson_interval
from fr_locales.messages import message

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BestThreshold:
    """The best accuracy that any threshold reaches on the very pairs it is measured on."""

    accuracy: float  # (n - n_wrong) / n
    threshold: float  # one that reaches it
    n: int  # pairs, failures included
    n_wrong: int  # pairs decided wrongly, and failures
    interval: Interval  # Wilson interval of the accuracy. It does not account for the choice of the threshold.


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Both error rates of pairs at a threshold."""

    threshold: float  # accept iff similarity >= threshold
    fmr: Rate  # false match rate: non-mated pairs accepted, of those compared
    fnmr: Rate  # false non-match rate: mated pairs rejected or not comparable, of all mated pairs
    failures: int  # pairs, mated or not, that could not be compared


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of a cross-validation: its accuracy at the threshold that is best on all other parts."""

    number: int
    threshold: float
    accuracy: Rate


@dataclass(frozen=True, slots=True)
class FoldAccuracy:
    """Cross-validated accuracy."""

    folds: tuple[Fold, ...]  # in the order of their numbers
    mean: float  # of the folds' accuracies, each fold weighing the same
    standard_error: float  # sample standard deviation of the folds' accuracies / sqrt(number of folds)
    pooled: Rate  # right decisions of all folds together


def best_threshold_accuracy(similarities: F64, mated: Bools, failures: int = 0) -> BestThreshold:
    """The accuracy of the best threshold, found by trying every threshold that makes a difference.

    Where several thresholds are equally good, the middle of the widest gap between neighbouring similarities is taken,
    the lowest of equally wide gaps.

    Args:
        similarities: f64[n], finite, of the pairs that were compared.
        mated: bool[n].
        failures: further pairs that could not be compared; each counts as wrong.

    Raises `UndefinedRate`: no mated or no non-mated pair was compared, so that no threshold divides them; `ValueError`:
    shapes or dtypes differ from the above, a similarity is not finite, or failures is negative.
    """
    check_pairs(similarities, mated)
    check_failures(failures)
    if mated.all() or not mated.any():
        raise UndefinedRate(message("undefined.core.accuracy_needs_least_mated"))
    threshold, wrong = _best_threshold(similarities, mated)
    n = len(similarities) + failures
    n_wrong = wrong + failures
    return BestThreshold((n - n_wrong) / n, threshold, n, n_wrong, wilson_interval(n - n_wrong, n))


def kfold_accuracy(similarities: F64, mated: Bools, folds: Ints, failed_folds: Sequence[int] = ()) -> FoldAccuracy:
    """Cross-validated accuracy: each fold is decided by the threshold that is best on all other folds.

    This is the rule of LFW's View 2, where there are ten folds. Source: Huang, Ramesh, Berg and Learned-Miller,
    "Labeled Faces in the Wild", University of Massachusetts, technical report 07-49 (2007).

    Args:
        similarities: f64[n], finite, of the pairs that were compared.
        mated: bool[n].
        folds: i64[n], the fold's number of each pair.
        failed_folds: the fold's number of each further pair that could not be compared; each counts as wrong there.

    Raises `UndefinedRate`: fewer than two folds, or the other folds of one lack mated or non-mated comparisons;
    `ValueError`: as for `best_threshold_accuracy`.
    """
    check_pairs(similarities, mated)
    if folds.shape != similarities.shape:
        raise ValueError(f"{len(similarities)} similarities need as many fold numbers, not {folds.shape}.")
    failed = np.asarray(failed_folds, dtype=np.int64)
    numbers = np.unique(np.concatenate([folds, failed]))
    if len(numbers) < 2:
        raise UndefinedRate(message("undefined.core.cross_validation_needs_least"))
    parts = []
    for number in numbers:
        inside = folds == number
        threshold = best_threshold_accuracy(similarities[~inside], mated[~inside]).threshold
        right = int(((similarities[inside] >= threshold) == mated[inside]).sum())
        total = int(inside.sum() + (failed == number).sum())
        parts.append(Fold(int(number), threshold, rate(right, total)))
    accuracies = np.array([part.accuracy.value for part in parts])
    pooled = rate(sum(part.accuracy.count for part in parts), sum(part.accuracy.total for part in parts))
    error = float(accuracies.std(ddof=1)) / sqrt(len(parts))
    return FoldAccuracy(tuple(parts), float(accuracies.mean()), error, pooled)


def false_match_rate(nonmated: F64, threshold: float) -> Rate:
    """The share of non-mated comparisons that are accepted.

    Pairs that could not be compared are left out, which can only make the rate look worse.

    `nonmated`: f64[n], finite similarities of non-mated comparisons; `threshold`: accept iff similarity >= threshold.

    Raises `UndefinedRate`: n is 0; `ValueError`: a similarity or the threshold is NaN, or a similarity is infinite.
    """
    check_similarities(nonmated)
    check_threshold(threshold)
    return rate(int((nonmated >= threshold).sum()), len(nonmated))


def false_non_match_rate(mated: F64, threshold: float, failures: int = 0) -> Rate:
    """The share of mated pairs that are rejected, or could not be compared at all.

    Args:
        mated: f64[n], finite similarities of mated comparisons.
        threshold: accept iff similarity >= threshold.
        failures: further mated pairs that could not be compared; each counts as a non-match, as in NIST FRTE.

    Raises `UndefinedRate`: there is no mated pair; `ValueError`: as for `false_match_rate`, or failures is negative.
    """
    check_similarities(mated)
    check_threshold(threshold)
    check_failures(failures)
    return rate(int((mated < threshold).sum()) + failures, len(mated) + failures)


def operating_point(
    similarities: F64, mated: Bools, threshold: float, *, mated_failures: int = 0, nonmated_failures: int = 0
) -> OperatingPoint:
    """Both error rates at one threshold; arguments and errors are those of the two rates."""
    check_pairs(similarities, mated)
    check_failures(nonmated_failures)
    return OperatingPoint(
        threshold,
        false_match_rate(similarities[~mated], threshold),
        false_non_match_rate(similarities[mated], threshold, mated_failures),
        mated_failures + nonmated_failures,
    )


def threshold_at_fmr(nonmated: F64, target: float) -> float:
    """The lowest threshold whose observed false match rate is at most `target`.

    `nonmated`: f64[n], finite similarities of non-mated comparisons; `target`: in (0, 1].

    Raises `UndefinedRate`: fewer than 1 / target comparisons, which cannot show a rate that low; `ValueError`: the
    target is not in (0, 1], or a similarity is not finite.
    """
    check_similarities(nonmated)
    if not 0.0 < target <= 1.0:
        raise ValueError(f"The target must lie in (0, 1], and is {target}.")
    n = len(nonmated)
    allowed = int(target * n)
    if (allowed + 1) / max(n, 1) <= target:  # the product was rounded down
        allowed += 1
    if allowed < 1:
        raise UndefinedRate(message("undefined.core.non_mated_comparisons_cannot", n=n, target=target))
    descending = np.sort(nonmated)[::-1]
    if allowed == n:
        return float(descending[-1])
    return float(np.nextafter(descending[allowed], np.inf))


def _best_threshold(similarities: F64, mated: Bools) -> tuple[float, int]:
    """The threshold with the fewest wrong decisions, and their number; `similarities` is not empty."""
    values, position = np.unique(similarities, return_inverse=True)
    mates = np.bincount(position[mated], minlength=len(values))
    others = np.bincount(position[~mated], minlength=len(values))
    # wrong[i]: everything from values[i] up is accepted; wrong[len(values)]: nothing is.
    rejected_mates = np.concatenate([[0], np.cumsum(mates)])
    accepted_others = others.sum() - np.concatenate([[0], np.cumsum(others)])
    wrong = rejected_mates + accepted_others
    best = np.flatnonzero(wrong == wrong.min())
    between = best[(best > 0) & (best < len(values))]
    if len(between):
        gaps = values[between] - values[between - 1]
        chosen = int(between[np.argmax(gaps)])
        low, high = float(values[chosen - 1]), float(values[chosen])
        middle = low + (high - low) / 2
        threshold = middle if middle > low else high
    elif best[0] == 0:
        threshold = float(values[0])
    else:
        threshold = float(np.nextafter(values[-1], np.inf))
    return threshold, int(wrong.min())
