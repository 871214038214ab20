"""What changed between two answers of one person to the same pairs: the answers go together, and the interval knows it.

Each truth's pairs fall into four cells, "same" or not at first by "same" or not at last. Their shares have a Dirichlet
posterior with 1/4 added to each cell (W. Perks, "Some observations on inverse probability including a new indifference
rule", Journal of the Institute of Actuaries 73 (1947) 285-334), which gives each answer alone the very posterior of
`fr_training.statistics.posterior`, Beta(count + 1/2, rest + 1/2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_training.statistics import normal

CELL_PRIOR = 0.25  # Perks (1947): 1 / cells
FARTHEST = 12.0  # of z
STEPS = 4801
LEAST = 1e-300


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Pairs of one truth, by two answers to each.

    Attributes:
        both: called "same" both times.
        first_only: called so at first alone.
        last_only: called so at last alone.
        neither: never called so.
    """

    both: int
    first_only: int
    last_only: int
    neither: int


def paired_counts(first: Bools, last: Bools) -> PairedCounts:
    """Count the cells; both are bool[n], whether each pair was called "same"."""
    return PairedCounts(
        int((first & last).sum()), int((first & ~last).sum()), int((~first & last).sum()), int((~first & ~last).sum())
    )


def drawn_change(terms: Sequence[tuple[float, PairedCounts]], rng: np.random.Generator, draws: int) -> F64:
    """f64[draws]: of the posterior of the sum of w [z(rate at last) - z(rate at first)] over independent cells.

    Args:
        terms: w and the counts of each.
        rng: draws.
        draws: at least 1.
    """
    total = np.zeros(draws)
    for weight, counts in terms:
        cells = np.array([counts.both, counts.first_only, counts.last_only, counts.neither]) + CELL_PRIOR
        both, first_only, last_only, neither = rng.standard_gamma(cells, size=(draws, 4)).T
        first = _z_of_odds(both + first_only, last_only + neither)
        last = _z_of_odds(both + last_only, first_only + neither)
        total += weight * (last - first)
    return total


def _z_of_odds(ahead: F64, behind: F64) -> F64:
    """f64[n]: z of ahead / (ahead + behind), precise in both tails, by a table."""
    nodes = np.linspace(-FARTHEST, 0.0, STEPS)
    rarer = np.maximum(np.minimum(ahead, behind), LEAST) / np.maximum(ahead + behind, LEAST)
    z = np.interp(np.log(rarer), normal.log_cdf(nodes), nodes)
    return np.asarray(np.where(ahead < behind, z, -z), dtype=np.float64)
