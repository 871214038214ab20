"""Identification, one to many: misses, false alarms and ranks, from the candidate lists of searches.

A candidate counts iff similarity >= threshold. A search is "mated" if its person is in the gallery. Terms: ISO/IEC
19795-1:2021 and NIST FRTE, where N is the people in the gallery, R the ranks looked at and T the threshold:
FNIR(N, R, T) = 1 - TPIR, and FPIR(N, T). The definitions are those of P. Grother, M. Ngan and K. Hanaoka, "Face
Recognition Vendor Test (FRVT) Part 2: Identification", NIST IR 8271 (2019).
"""

from dataclasses import dataclass

import numpy as np

from fr_core.scoring.checks import F64, check_failures, check_similarities, check_threshold
from fr_core.scoring.intervals import Rate, UndefinedRate, rate
from fr_core.scoring.verification import threshold_at_fmr
from fr_core.types import I64
from fr_locales.messages import message


@dataclass(frozen=True, slots=True, eq=False)
class MatedSearches:
    """Searches for people who are in the gallery, or should be.

    Raises `ValueError`: shapes, dtypes or ranges differ from the above, or a mate's similarity is not finite.
    """

    ranks: I64  # i64[n], the mate's rank, from 1; 0 where the mate is not among the candidates
    similarities: F64  # f64[n], the mate's; not looked at where the rank is 0
    gallery_size: int  # N, people in the gallery
    list_length: int  # candidates asked for in each search, 1 <= list_length <= gallery_size
    # Further searches whose probe showed no usable face, or whose person could not be enrolled. Each counts as a miss
    # at every rank and threshold, as in NIST FRTE.
    failures: int = 0

    def __post_init__(self) -> None:
        if self.ranks.ndim != 1 or self.ranks.dtype != np.int64 or self.ranks.shape != self.similarities.shape:
            found = f"{self.ranks.dtype}{list(self.ranks.shape)} and {list(self.similarities.shape)}"
            raise ValueError(f"Ranks are i64[n] with a similarity each, not {found}.")
        if not 1 <= self.list_length <= self.gallery_size:
            raise ValueError(f"A gallery of {self.gallery_size} gives no list of {self.list_length} candidates.")
        if ((self.ranks < 0) | (self.ranks > self.list_length)).any():
            raise ValueError(f"A rank lies outside 0 to {self.list_length}.")
        check_similarities(self.similarities[self.ranks > 0])
        check_failures(self.failures)

    @property
    def total(self) -> int:
        """All mated searches, failures included."""
        return len(self.ranks) + self.failures


@dataclass(frozen=True, slots=True, eq=False)
class NonmatedSearches:
    """Searches for people who are not in the gallery.

    Raises `ValueError`: shapes, dtypes or ranges differ from the above.
    """

    top_similarities: F64  # f64[n], finite, of the best candidate; so the lists must not be cut by a threshold
    gallery_size: int  # N, people in the gallery, at least 1
    # Further searches whose probe showed no usable face. They are left out of rates, as a search that was not done
    # cannot raise a false alarm, and leaving them out can only make the rate look worse.
    failures: int = 0

    def __post_init__(self) -> None:
        check_similarities(self.top_similarities)
        check_failures(self.failures)
        if self.gallery_size < 1:
            raise ValueError(f"A gallery of {self.gallery_size} people cannot be searched.")


@dataclass(frozen=True, slots=True)
class IdentificationPoint:
    """Both error rates of searches of one gallery at a threshold."""

    gallery_size: int  # N
    rank: int  # R, candidates looked at
    threshold: float  # T
    fnir: Rate  # false negative identification rate, of all mated searches, failures included
    fpir: Rate  # false positive identification rate, of the non-mated searches that were done
    mated_failures: int  # mated searches that could not be done; they are misses in `fnir`
    nonmated_failures: int  # non-mated searches that could not be done; they are not in `fpir`


@dataclass(frozen=True, slots=True, eq=False)
class IdentificationDet:
    """The trade between misses and false alarms over all thresholds that make a difference."""

    thresholds: F64  # f64[m], ascending and distinct: every similarity, and one threshold above them all
    fpir: F64  # f64[m] in [0, 1], falling
    fnir: F64  # f64[m] in [0, 1], rising
    gallery_size: int  # N
    rank: int  # R
    n_mated: int  # mated searches, failures included
    n_nonmated: int  # non-mated searches that were done


def cmc(mated: MatedSearches, ranks: int | None = None) -> tuple[Rate, ...]:
    """The cumulative match characteristic: element r - 1 is the share of mated searches with the mate at rank <= r.

    It is a figure of a closed set: no threshold is applied, so it says
    nothing about people who are not in the gallery. Failures count as misses. Source: P. J. Phillips, H. Moon,
    S. A. Rizvi and P. J. Rauss, "The FERET evaluation methodology for face-recognition algorithms", IEEE Transactions
    on Pattern Analysis and Machine Intelligence 22 (2000) 1090-1104.

    `ranks`: how many rates, from rank 1; None is the length of the lists.

    Raises `UndefinedRate`: there is no mated search; `ValueError`: the lists are too short for the ranks.
    """
    last = mated.list_length if ranks is None else ranks
    if not 1 <= last <= mated.list_length:
        raise ValueError(f"Lists of {mated.list_length} candidates have no {last} ranks.")
    found = np.bincount(mated.ranks[mated.ranks <= last], minlength=last + 1)[1:]
    return tuple(rate(int(count), mated.total) for count in np.cumsum(found))


def fnir(mated: MatedSearches, threshold: float, rank: int | None = None) -> Rate:
    """FNIR(N, R, T): the share of mated searches whose mate is not among the first R candidates, or is below T.

    Source: NIST IR 8271.

    Args:
        mated: the searches; each failure is a miss.
        threshold: T; -inf looks at ranks alone.
        rank: R, at most the length of the lists; None is that length.

    Raises `UndefinedRate`: there is no mated search; `ValueError`: the lists are too short for the rank, or the
    threshold is NaN.
    """
    check_threshold(threshold)
    hits = int((_mate_similarities(mated, rank) >= threshold).sum())
    return rate(mated.total - hits, mated.total)


def fpir(nonmated: NonmatedSearches, threshold: float) -> Rate:
    """FPIR(N, T): the share of non-mated searches in which any candidate reaches the threshold.

    Source: NIST IR 8271.

    Raises `UndefinedRate`: no non-mated search was done; `ValueError`: the threshold is NaN.
    """
    check_threshold(threshold)
    tops = nonmated.top_similarities
    return rate(int((tops >= threshold).sum()), len(tops))


def threshold_at_fpir(nonmated: NonmatedSearches, target: float) -> float:
    """The lowest threshold whose observed FPIR is at most `target`, in (0, 1].

    Raises `UndefinedRate`: fewer than 1 / target non-mated searches were done, which cannot show a rate that low;
    `ValueError`: the target is not in (0, 1].
    """
    try:
        return threshold_at_fmr(nonmated.top_similarities, target)
    except UndefinedRate as refused:
        n = len(nonmated.top_similarities)
        raise UndefinedRate(message("undefined.core.few_searches", searches=n, target=target)) from refused


def identification_point(
    mated: MatedSearches, nonmated: NonmatedSearches, threshold: float, rank: int | None = None
) -> IdentificationPoint:
    """Both error rates at one threshold; other arguments and errors are those of `fnir` and `fpir`.

    Raises `ValueError`: the two kinds of searches are of galleries of different sizes.
    """
    check_same_size(mated, nonmated)
    return IdentificationPoint(
        mated.gallery_size,
        _rank(mated, rank),
        threshold,
        fnir(mated, threshold, rank),
        fpir(nonmated, threshold),
        mated.failures,
        nonmated.failures,
    )


def fnir_at_fpir(
    mated: MatedSearches, nonmated: NonmatedSearches, target: float, rank: int | None = None
) -> IdentificationPoint:
    """Both error rates at the lowest threshold whose FPIR is at most `target`.

    The interval of the FNIR does not account for the choice of the threshold. Errors are those of
    `identification_point` and `threshold_at_fpir`.
    """
    return identification_point(mated, nonmated, threshold_at_fpir(nonmated, target), rank)


def identification_det(mated: MatedSearches, nonmated: NonmatedSearches, rank: int | None = None) -> IdentificationDet:
    """Both error rates at every threshold that makes a difference.

    A miss by rank or by failure stays one at every threshold, so the FNIR may begin above 0.

    Raises `UndefinedRate`: there is no mated search, or no non-mated search was done; `ValueError`: the lists are too
    short for the rank, or the galleries differ in size.
    """
    check_same_size(mated, nonmated)
    mates = np.sort(_mate_similarities(mated, rank))
    tops = np.sort(nonmated.top_similarities)
    if not mated.total or not len(tops):
        raise UndefinedRate(message("undefined.core.trade_off_needs_least"))
    values = np.unique(np.concatenate([mates, tops]))
    thresholds = np.append(values, np.nextafter(values[-1], np.inf))
    false_alarms = len(tops) - np.searchsorted(tops, thresholds, side="left")
    misses = mated.total - len(mates) + np.searchsorted(mates, thresholds, side="left")
    return IdentificationDet(
        thresholds,
        false_alarms / len(tops),
        misses / mated.total,
        mated.gallery_size,
        _rank(mated, rank),
        mated.total,
        len(tops),
    )


def check_same_size(mated: MatedSearches, nonmated: NonmatedSearches) -> None:
    """The galleries have one size, or a ValueError is raised."""
    if mated.gallery_size != nonmated.gallery_size:
        sizes = f"{mated.gallery_size} and {nonmated.gallery_size}"
        raise ValueError(f"Mated and non-mated searches need galleries of one size, not of {sizes} people.")


def _rank(mated: MatedSearches, rank: int | None) -> int:
    if rank is None:
        return mated.list_length
    if not 1 <= rank <= mated.list_length:
        raise ValueError(f"Lists of {mated.list_length} candidates cannot say who is at rank {rank}: ask for more.")
    return rank


def _mate_similarities(mated: MatedSearches, rank: int | None) -> F64:
    found = (mated.ranks > 0) & (mated.ranks <= _rank(mated, rank))
    return mated.similarities[found]
