"""The figures of an identification: from searches to hit rates, false alarms and misses, by size of the gallery."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fr_core.errors.base import english
from fr_core.runtime.ticket import current_ticket
from fr_core.scoring import bootstrap
from fr_core.scoring.identification import (
    IdentificationDet,
    IdentificationPoint,
    MatedSearches,
    NonmatedSearches,
    cmc,
    fnir_at_fpir,
    identification_det,
    identification_point,
)
from fr_core.scoring.intervals import Rate, UndefinedRate
from fr_core.scoring.support import support
from fr_evaluation.identification.searches import Search, Searches
from fr_evaluation.report import Report


@dataclass(frozen=True, slots=True)
class RatesByPeople:
    """Both error rates by people; None where all resamples agree, as those without an error do."""

    fpir: bootstrap.Bootstrap | None  # at the threshold that the searches as they are give for the target
    fnir: bootstrap.Bootstrap | None  # at the threshold that each resample gives, whose choice is so in the interval


def first_by_people(searches: Sequence[Search], seed: int) -> bootstrap.Bootstrap | None:
    """The share of mated searches whose mate is the first candidate; None as in `RatesByPeople`."""
    mated = [one for one in searches if one.mate is not None]
    return _bootstrap(
        bootstrap.share_statistic(np.array([one.rank == 1 for one in mated], dtype=np.bool_)), mated, seed
    )


def rates_by_people(searches: Sequence[Search], target: float, threshold: float, rank: int, seed: int) -> RatesByPeople:
    """Both error rates at the false positive identification rate `target`, with `rank` candidates looked at.

    `searches` are of one gallery, those that could not be done included; they support the target at `threshold`.
    """
    found, lost, strangers = [], [], []
    mates, tops = [], []
    for one in searches:
        if one.mate is not None:
            if one.similarity is not None and one.rank is not None and one.rank <= rank:
                found.append(one)
                mates.append(one.similarity)
            else:
                lost.append(one)
        elif one.other is not None:
            strangers.append(one)
            tops.append(one.other)
    highest = np.array(tops, dtype=np.float64)
    fnir = bootstrap.fnmr_at_fmr_statistic(np.array(mates, dtype=np.float64), highest, target, len(lost))
    return RatesByPeople(
        _bootstrap(bootstrap.fmr_statistic(highest, threshold), strangers, seed),
        _bootstrap(fnir, (*found, *lost, *strangers), seed),
    )


def _bootstrap(statistic: bootstrap.Statistic, searches: Sequence[Search], seed: int) -> bootstrap.Bootstrap | None:
    people = np.array([one.person for one in searches], dtype=np.int64)
    try:
        return bootstrap.subject_bootstrap(statistic, people, people, seed=seed, check=current_ticket().require_wanted)
    except UndefinedRate:
        return None


TARGETS = (1e-1, 1e-2, 1e-3)
# Candidates that are looked at.
RANK = 20
UNSUPPORTED = "not supported by this many searches"


@dataclass(frozen=True, slots=True)
class FpirRow:
    """A line of a table of thresholds: the lowest threshold that holds a false positive identification rate."""

    target: float  # the false positive identification rate asked for
    point: IdentificationPoint | None  # None where the searches are too few
    note: str  # how far the false alarms support `point`
    # Both rates with intervals by people; None without a point, and beside drawn strangers.
    by_people: RatesByPeople | None = None


@dataclass(frozen=True, slots=True)
class SizeFigures:
    """The figures of the searches of a gallery of one size."""

    gallery_size: int
    # Share of mated searches with the mate at a rank or better, from rank 1 to `RANK`, or to the size.
    cmc: tuple[Rate, ...]
    at_fpir: tuple[FpirRow, ...]  # for each of `TARGETS`
    default: IdentificationPoint  # at the threshold of the pack
    # The first of `cmc`, by people; None where all resamples agree, and beside drawn strangers.
    first_by_people: bootstrap.Bootstrap | None = None


@dataclass(frozen=True, slots=True, eq=False)
class IdentificationFigures:
    """The figures of all searches; empty where `undefined` says what the searches lack."""

    sizes: tuple[SizeFigures, ...]  # the smallest gallery first, which holds real people only
    det: IdentificationDet | None  # of the smallest gallery
    undefined: dict[str, str] = field(default_factory=dict)  # what the searches lack, by name of a figure


@dataclass(frozen=True, slots=True, eq=False)
class IdentificationReport(Report):
    """Everything that an identification found: every search, by size of the gallery, and their figures."""

    searches: Searches
    figures: IdentificationFigures


def identification_figures(searches: Searches, threshold: float, seed: int) -> IdentificationFigures:
    """Compute every figure that the searches support; raises `CallEnded`.

    `threshold` is the pack's default, `seed` of the draws of people.
    """
    try:
        sizes = tuple(
            _of_size(mated, nonmated, threshold)
            for mated, nonmated in zip(searches.mated, searches.nonmated, strict=True)
        )
        first = searches.mated[0]
        det = identification_det(first, searches.nonmated[0], min(RANK, first.gallery_size))
    except UndefinedRate as error:
        return IdentificationFigures((), None, {"identification": str(error)})
    return IdentificationFigures((_with_people(sizes[0], searches.made, seed), *sizes[1:]), det)


def _with_people(size: SizeFigures, searches: Sequence[Search], seed: int) -> SizeFigures:
    """The same with intervals by resampling people."""
    rows = [
        row
        if row.point is None
        else replace(row, by_people=rates_by_people(searches, row.target, row.point.threshold, row.point.rank, seed))
        for row in size.at_fpir
    ]
    return replace(size, at_fpir=tuple(rows), first_by_people=first_by_people(searches, seed))


def _of_size(mated: MatedSearches, nonmated: NonmatedSearches, threshold: float) -> SizeFigures:
    current_ticket().require_wanted()
    rank = min(RANK, mated.gallery_size)
    return SizeFigures(
        mated.gallery_size,
        cmc(mated, rank),
        tuple(_row(mated, nonmated, target, rank) for target in TARGETS),
        identification_point(mated, nonmated, threshold, rank),
    )


def _row(mated: MatedSearches, nonmated: NonmatedSearches, target: float, rank: int) -> FpirRow:
    try:
        point = fnir_at_fpir(mated, nonmated, target, rank)
    except UndefinedRate:
        return FpirRow(target, None, UNSUPPORTED)
    note = english(support(point.fpir.count, point.fpir.total).sentence)
    return FpirRow(target, point, note.replace("comparisons", "searches"))
