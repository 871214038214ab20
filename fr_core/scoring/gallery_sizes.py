"""Measures how misses and false alarms grow with the gallery: the same probes against ever more of the same people.

Nothing is extrapolated here. A gallery of N people is the first N of one order of enrolment, so that each smaller
gallery is part of each larger one. The rates are those of `fr_core.scoring.identification`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from fr_core.scoring.checks import F64, check_similarities
from fr_core.scoring.identification import MatedSearches, NonmatedSearches


def mated_at_sizes(
    mates: F64, others: Iterable[F64], sizes: Sequence[int], failures: int = 0
) -> tuple[MatedSearches, ...]:
    """Mated searches of galleries that hold the mate of each probe and, in order of enrolment, the others.

    The mate's rank is 1 plus the others who are at least as similar: a tie counts against the mate. The lists hold
    everybody.

    Args:
        mates: f64[n], finite similarities to the mates.
        others: blocks f64[n, b] of similarities to everybody else, in order of enrolment; read once, block by block, so
            that they need not be in memory together. A gallery of N holds the mate and the first N - 1.
        sizes: N of each gallery, ascending, from 1.
        failures: further probes without a usable face, or whose person could not be enrolled: misses in each gallery.

    Raises `ValueError`: shapes or sizes differ from the above, a similarity is not finite, or the others are too few.
    """
    check_similarities(mates)
    _check_sizes(sizes)
    ranks = np.ones(len(mates), dtype=np.int64)
    searches = [MatedSearches(ranks, mates, size, size, failures) for size in sizes if size == 1]
    rest = [size for size in sizes if size > 1]
    for size, block in _cut(others, [size - 1 for size in rest], len(mates)):
        ranks = ranks + (block >= mates[:, None]).sum(axis=1)
        if size is not None:
            searches.append(MatedSearches(ranks, mates, size + 1, size + 1, failures))
    return tuple(searches)


def nonmated_at_sizes(others: Iterable[F64], sizes: Sequence[int], failures: int = 0) -> tuple[NonmatedSearches, ...]:
    """Non-mated searches of galleries that hold, in order of enrolment, the first N of the others.

    Args:
        others: blocks f64[n, b] of similarities to the people of the gallery, read once, as in `mated_at_sizes`.
        sizes: N of each gallery, ascending, from 1.
        failures: further probes without a usable face.

    Raises `ValueError`: shapes or sizes differ from the above, a similarity is not finite, or the others are too few.
    """
    _check_sizes(sizes)
    searches = []
    best: F64 | None = None
    for size, block in _cut(others, sizes, None):
        top = block.max(axis=1)
        best = top if best is None else np.maximum(best, top)
        if size is not None:
            searches.append(NonmatedSearches(best, size, failures))
    return tuple(searches)


def _cut(blocks: Iterable[F64], ends: Sequence[int], probes: int | None) -> Iterator[tuple[int | None, F64]]:
    """The blocks, cut where a gallery is complete: that size or None, and columns f64[n, b] with b >= 1."""
    seen = 0
    waiting = list(ends)
    for block in blocks:
        if block.ndim != 2 or block.dtype != np.float64 or probes not in (None, len(block)):
            raise ValueError(f"A block is f64[n, b] with a row for each probe, not {block.dtype}{list(block.shape)}.")
        check_similarities(block.ravel())
        probes = len(block)
        start = 0
        while waiting and start < block.shape[1]:
            stop = min(block.shape[1], start + waiting[0] - seen)
            seen += stop - start
            complete = waiting.pop(0) if seen == waiting[0] else None
            yield complete, block[:, start:stop]
            start = stop
        if not waiting:
            return
    if waiting:
        raise ValueError(f"The blocks hold {seen} people, too few for a gallery of {waiting[-1]} of them.")


def _check_sizes(sizes: Sequence[int]) -> None:
    if not sizes or sizes[0] < 1 or any(larger <= smaller for smaller, larger in pairwise(sizes)):
        raise ValueError(f"Sizes of galleries ascend from 1 or more, not {list(sizes)}.")
