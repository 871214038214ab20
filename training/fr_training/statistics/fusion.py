"""Fuses the opinions of several people who judged alone, or of people and a machine, and measures the gain.

The mean of independent ratings is more accurate than nearly every single rater, and than a discussion: D. White,
A. M. Burton, R. I. Kemp and R. Jenkins, "Crowd effects in unfamiliar face matching", Applied Cognitive Psychology 27
(2013) 769-777; with a machine: P. J. Phillips et al., "Face recognition accuracy of forensic examiners,
superrecognizers, and face recognition algorithms", PNAS 115 (2018) 6171-6176.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, UndefinedRate
from fr_core.types import I64
from fr_locales.messages import message
from fr_training.statistics.estimates import ENDS

BATCH = 32  # groups whose couples of items are held at a time


@dataclass(frozen=True, slots=True)
class GroupArea:
    """The area under the ROC curve of the fused opinion of groups of one size."""

    size: int  # people in a group
    groups: int  # how many were tried
    every: bool  # whether these are all that there are, and no sample
    area: float  # mean of their areas, in [0, 1]
    low: float  # lower end of its interval, from resampling items; the people are fixed
    high: float
    confidence: float
    standard_error: float  # of the mean area, from the same resamples
    worst: float  # area that 2.5 % of the groups do not reach
    best: float  # area that 2.5 % of the groups exceed


def fuse(ratings: F64) -> F64:
    """f64[items]: the mean of the ratings that each item was given, of f64[people, items] with NaN where there is none.

    Raises:
        UndefinedRate: there is nobody, or an item without a rating.
        ValueError: shape or dtype differs from the above, or a rating is infinite.
    """
    _check_ratings(ratings)
    given = ~np.isnan(ratings)
    count = given.sum(axis=0)
    if not count.all():
        raise UndefinedRate(message("undefined.item_unrated"))
    return np.asarray(np.where(given, ratings, 0.0).sum(axis=0) / count, dtype=np.float64)


def fuse_with_machine(ratings: F64, similarities: F64) -> F64:
    """f64[items]: the mean of people's fused rating and the machine's similarity, each as standard scores of the items.

    Both are brought to mean 0 and standard deviation 1 over these very items, which needs no truth: A. Jain,
    K. Nandakumar and A. Ross, "Score normalization in multimodal biometric systems", Pattern Recognition 38 (2005)
    2270-2285. The unit is a standard deviation.

    Raises:
        UndefinedRate: an item has no rating, or all ratings or all similarities are equal.
        ValueError: the ratings are not those of `fuse`, or the similarities are not f64[items] and finite.
    """
    people = fuse(ratings)
    if similarities.shape != people.shape or similarities.dtype != np.float64 or not np.isfinite(similarities).all():
        raise ValueError(f"{len(people)} items need as many finite similarities, f64[items].")
    return np.asarray((_standard(people) + _standard(similarities)) / 2, dtype=np.float64)


def group_area(
    ratings: F64, mated: Bools, size: int, rng: np.random.Generator, *, most_groups: int, replicates: int
) -> GroupArea:
    """The mean area of the fused opinions of all groups of some size, or of a sample of them.

    A group's area is of the items that one of it rated. The interval is the percentile one of resampling mated and
    non-mated items apart (B. Efron and R. J. Tibshirani, "An introduction to the bootstrap", Chapman and Hall (1993),
    chapter 13): it says what other items may show of these people. `worst` and `best` say how much groups differ.

    Args:
        ratings: f64[people, items], NaN where a person gave none.
        mated: bool[items].
        size: people in a group, 1 to all of them.
        rng: draws the groups, if there are more than `most_groups`, and the resamples.
        most_groups: at least 1.
        replicates: resamples, at least 2.

    Raises:
        UndefinedRate: a group rated fewer than two mated or non-mated items, or resamples all agree, as where nobody
            errs.
        ValueError: shapes, dtypes or ranges differ from the above.
    """
    _check_ratings(ratings)
    people = len(ratings)
    if mated.shape != ratings.shape[1:] or mated.dtype != np.bool_:
        raise ValueError(f"{ratings.shape[1]} items need as many booleans, not {mated.dtype}{list(mated.shape)}.")
    if not 1 <= size <= people or most_groups < 1 or replicates < 2:
        raise ValueError(f"Of {people} people there is no group of {size}, or there is nothing to draw.")
    groups = _groups(people, size, most_groups, rng)
    areas, drawn = _areas(ratings, mated, groups, _item_weights(mated, replicates, rng))
    if drawn.min() == drawn.max():
        raise UndefinedRate(message("undefined.resamples_agree"))
    low, high = np.quantile(drawn, ENDS)
    worst, best = np.quantile(areas, [0.025, 0.975])
    return GroupArea(
        size=size,
        groups=len(groups),
        every=len(groups) == comb(people, size),
        area=float(areas.mean()),
        low=float(low),
        high=float(high),
        confidence=DEFAULT_CONFIDENCE,
        standard_error=float(drawn.std(ddof=1)),
        worst=float(worst),
        best=float(best),
    )


def _groups(people: int, size: int, most: int, rng: np.random.Generator) -> I64:
    """i64[groups, size]: all groups, or as many different ones as are wanted."""
    if comb(people, size) <= most:
        return np.array(list(combinations(range(people), size)), dtype=np.int64)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < most:
        found[tuple(sorted(rng.choice(people, size, replace=False).tolist()))] = None
    return np.array(list(found), dtype=np.int64)


def _item_weights(mated: Bools, replicates: int, rng: np.random.Generator) -> tuple[F64, F64]:
    """f64[n, 1 + replicates] of mated items and f64[m, 1 + replicates] of others: how often each item is in a resample.

    The first column is of the items as they are.
    """

    def counts(items: int) -> F64:
        if items < 2:
            raise UndefinedRate(message("undefined.area_needs_items"))
        drawn = rng.multinomial(items, np.full(items, 1 / items), size=replicates).T
        return np.concatenate([np.ones((items, 1)), drawn], axis=1)

    return counts(int(mated.sum())), counts(int((~mated).sum()))


def _areas(ratings: F64, mated: Bools, groups: I64, weights: tuple[F64, F64]) -> tuple[F64, F64]:
    """f64[groups]: the area of each; and f64[replicates]: their mean in each resample."""
    of_mated, of_others = weights
    areas = []
    total = np.zeros(of_mated.shape[1])
    defined = np.zeros(of_mated.shape[1])
    for won, counted in _couples(ratings, mated, groups):
        some = counted.any(axis=2).sum(axis=1), counted.any(axis=1).sum(axis=1)
        if min(some[0].min(), some[1].min()) < 2:
            raise UndefinedRate(message("undefined.group_rated_few"))
        wins = (of_mated * (won @ of_others)).sum(axis=1)  # f64[groups, 1 + replicates]
        couples = (of_mated * (counted @ of_others)).sum(axis=1)
        area = np.divide(wins, couples, out=np.zeros_like(wins), where=couples > 0)
        areas.append(area[:, 0])
        total += area.sum(axis=0)
        defined += (couples > 0).sum(axis=0)
    if not defined.all():
        raise UndefinedRate(message("undefined.resample_empty"))
    return np.concatenate(areas), (total / defined)[1:]


def _couples(ratings: F64, mated: Bools, groups: I64) -> Iterator[tuple[F64, F64]]:
    """Of some groups at a time, f64[groups, n, m]: what each mated item wins of each other, and which couples count."""
    given = ~np.isnan(ratings)
    known = np.where(given, ratings, 0.0)
    for start in range(0, len(groups), BATCH):
        batch = groups[start : start + BATCH]
        count = given[batch].sum(axis=1)
        fused = known[batch].sum(axis=1) / np.maximum(count, 1)
        # Means of the same ratings in another order may differ in the last digit, which would break a tie.
        fused = np.round(fused, 9)
        rated = (count > 0).astype(np.float64)
        ahead = fused[:, mated][:, :, None] - fused[:, ~mated][:, None, :]
        counted = rated[:, mated][:, :, None] * rated[:, ~mated][:, None, :]
        yield ((ahead > 0) + 0.5 * (ahead == 0)) * counted, counted


def _standard(values: F64) -> F64:
    spread = float(values.std())
    if spread == 0.0:
        raise UndefinedRate(message("undefined.all_equal"))
    return np.asarray((values - values.mean()) / spread, dtype=np.float64)


def _check_ratings(ratings: F64) -> None:
    if ratings.ndim != 2 or ratings.dtype != np.float64 or np.isinf(ratings).any():
        raise ValueError(f"Ratings are f64[people, items], none of them infinite, not {ratings.dtype}.")
    if len(ratings) == 0:
        raise UndefinedRate(message("undefined.no_rater"))
