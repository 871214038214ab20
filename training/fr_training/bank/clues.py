"""Measures what gives pairs away without a look at the faces: pixels that agree, and skin of one colour.

Photos of one studio show a person in one light, so that comparing pixels or skin tells most pairs right. Such a
pair is no test of face comparison. Forms are therefore made of pairs in which these clues tell as little as they can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from fr_core.scoring.auc import share_below
from fr_core.scoring.checks import F64
from fr_training.bank.pool import Looks, PoolPhoto

T = TypeVar("T")

CLUES = 5
"""Pixels of the face in its mask, of the face alone, of the head, colour of the face and of the head.

They are the columns of f64[n, CLUES]. The greater they are, the more the photos are like two of one person.
"""

PIXELS, COLOURS = slice(0, 3), slice(3, 5)  # the clues of each kind
NEAR_CHANCE = 0.1  # area under the curve beyond .5 that a draw of items may have to be taken at once

_MISLEADS = 0.1  # area below .5 that is no reason to draw again: who goes by a clue then errs, and it teaches nothing

DRAWS = 64  # draws of items from which that one is taken in which clues tell least

_STEPS = 48  # in which pairs are left out


def clues_of(pairs: Sequence[tuple[PoolPhoto, PoolPhoto]]) -> F64:
    """f64[n, CLUES] of pairs of photos: correlation of their pixels, and less distance of their colours.

    NaN in the rows of photos whose looks are not known.
    """
    return np.array([between(a.looks, b.looks) for a, b in pairs], dtype=np.float64).reshape(-1, CLUES)


def between(a: Looks | None, b: Looks | None) -> tuple[float, ...]:
    """The clues of one pair, as in `clues_of`."""
    if a is None or b is None:
        return (np.nan,) * CLUES
    apart = np.linalg.norm(a.colours - b.colours, axis=1)
    pixels = (float(one @ other) for one, other in zip(a.pixels, b.pixels, strict=True))
    return (*pixels, -float(apart[0]), -float(apart[1]))


def areas(mated: F64, nonmated: F64) -> tuple[float, ...]:
    """The area under the curve of each clue, in [0, 1], where both kinds of pairs are there; .5 tells nothing.

    Pairs whose looks are not known are left out; empty where no pair of a kind is left.
    """
    same, different = (values[~np.isnan(values).any(axis=1)] for values in (mated, nonmated))
    if not len(same) or not len(different):
        return ()
    won = (share_below(same[:, clue], different[:, clue]) for clue in range(CLUES))
    return tuple(float(shares.sum()) / len(shares) for shares in won)


def told(mated: F64, nonmated: F64) -> float:
    """The most that a clue tells: its area beyond .5, or a tenth less below it; 0 where nothing is known."""
    found = areas(mated, nonmated)
    return max((max(area - 0.5, 0.5 - _MISLEADS - area) for area in found), default=0.0)


def least_of(draw: Callable[[], T], tells: Callable[[T], float]) -> T:
    """The first draw in which clues tell at most `NEAR_CHANCE`, else that one of `DRAWS` in which they tell least."""
    best = draw()
    least = tells(best)
    for _ in range(DRAWS - 1):
        if least <= NEAR_CHANCE:
            break
        found = draw()
        much = tells(found)
        if much < least:
            best, least = found, much
    return best


def least_telling(
    mated: F64, nonmated: F64, least: int, *, of_mated: bool
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Leave out the pairs of one kind that tell most, until no clue tells one person; return the indices of the others.

    The pairs are the mated ones if `of_mated`, else the others. At least `least` are kept, all if they are fewer.
    """
    values, others = (mated, nonmated) if of_mated else (nonmated, mated)
    kept = np.arange(len(values), dtype=np.int64)
    step = max(1, (len(values) - least) // _STEPS)
    while len(kept) > least:
        found = areas(values[kept], others) if of_mated else areas(others, values[kept])
        if max(found, default=0.0) <= 0.5:
            break
        # Of the clue that tells most, those pairs go that speak for it.
        standing = np.nan_to_num(values[kept, int(np.argmax(found))]) * (1.0 if of_mated else -1.0)
        left = len(kept) - min(step, len(kept) - least)
        kept = np.sort(kept[np.argsort(standing, kind="stable")[:left]])
    return kept
