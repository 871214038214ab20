"""Pooled adjacent violators: the rising steps that fit mated and non-mated comparisons best.

Sources: M. Ayer, H. D. Brunk, G. M. Ewing, W. T. Reid and E. Silverman, "An empirical distribution function for
sampling with incomplete information", Annals of Mathematical Statistics 26 (1955) 641-647; that its steps are the best
rising map to likelihood ratios: N. Brümmer and J. du Preez, "The PAV algorithm optimizes binary proper scoring rules"
(2013), arXiv 1304.2331.
"""

from dataclasses import dataclass

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.types import I64


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Comparisons in the order of their similarity; equal ones, and neighbours of one kind alone, are one run."""

    starts: F64  # f64[r], the lowest similarity of each run, ascending
    mated: F64  # f64[r], mated comparisons of the run, a count
    nonmated: F64  # f64[r], non-mated comparisons of the run, a count


def runs(mated: F64, nonmated: F64) -> Runs:
    """The runs of f64[n] mated and f64[m] non-mated values, together at least one, all finite."""
    values = np.unique(np.concatenate([mated, nonmated]))
    mates, others = _counts(mated, values), _counts(nonmated, values)
    kind = np.sign(mates) - np.sign(others)
    first = np.flatnonzero(np.concatenate([[True], (kind[1:] != kind[:-1]) | (kind[1:] == 0)]))
    return Runs(values[first], np.add.reduceat(mates, first), np.add.reduceat(others, first))


def pool(mated: F64, nonmated: F64) -> I64:
    """Pool neighbouring runs until the share of mated comparisons rises from each block to the next.

    Args:
        mated: f64[r], the count of each run, in the order of the similarity, r >= 1.
        nonmated: f64[r]; no run has both counts 0.

    Returns i64[b], the number of each block's first run, ascending from 0.
    """
    blocks: list[tuple[int, float, float]] = []
    for run, counts in enumerate(zip(mated.tolist(), nonmated.tolist(), strict=True)):
        first, (mates, others) = run, counts
        while blocks and blocks[-1][1] * others >= mates * blocks[-1][2]:
            first, more_mates, more_others = blocks.pop()
            mates, others = mates + more_mates, others + more_others
        blocks.append((first, mates, others))
    return np.array([first for first, _, _ in blocks], dtype=np.int64)


def _counts(similarities: F64, values: F64) -> F64:
    """Return how often each of the ascending `values` occurs, as f64."""
    return np.diff(np.searchsorted(np.sort(similarities), values, side="right"), prepend=0).astype(np.float64)
