"""Counts the errors of a course's own model on the course's own photos, for the tables of labs.

Two photos of a person are the first two that the data set has, as pairs of the course are chosen to be hard. Everybody
counts, whether or not the course shows them, as a lab shows nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.bootstrap import fmr_by_people
from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import wilson_interval
from fr_training.bank.pool import F32, PoolPerson
from fr_training.bank.workbench import Workbench
from fr_training.prompts import LabRow, Measured

_MOST_PEOPLE = 2_000  # whose photos are compared, everyone with everyone
_TARGETS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)  # rates of false matches that thresholds are set for
_LEAST_MATCHES = 5  # expected at a threshold, so that a row is more than chance
_REPLICATES = 200  # of a bootstrap: its ends are told with two or three digits


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Two photos of people, those with two first, in an order that is drawn."""

    people: tuple[PoolPerson, ...]
    first: F32  # f32[n, D]
    second: F32  # f32[n, D]; as `first` of people with one photo
    mated: int  # people with two photos

    @property
    def own(self) -> F64:
        """f64[mated], similarities of the two photos of a person."""
        mated = slice(self.mated)
        similarity: F64 = np.einsum("nd,nd->n", self.first[mated], self.second[mated]).astype(np.float64)
        return similarity

    def others(self, among: Sequence[int] | None = None) -> F64:
        """f64[k (k - 1) / 2], similarities of every two people, once, in the order of `fmr_by_people`."""
        rows = list(range(len(self.people))) if among is None else list(among)
        similarity = self.first[rows] @ self.second[rows].T
        return np.asarray(similarity[np.triu_indices(len(rows), 1)], dtype=np.float64)


def faces_of(bench: Workbench) -> Faces:
    """Draw people whose photos are compared, everyone with everyone; nobody whose photos are set aside."""
    people = bench.prepared.people
    drawn = [n for n in bench.rng("lab people").permutation(len(people)).tolist() if not bench.aside[n]]
    drawn.sort(key=lambda n: len(people[n].photos) < 2)
    chosen = [people[n] for n in drawn[:_MOST_PEOPLE]]
    return Faces(
        people=tuple(chosen),
        first=np.stack([one.photos[0].embedding for one in chosen]),
        second=np.stack([one.photos[min(1, len(one.photos) - 1)].embedding for one in chosen]),
        mated=sum(len(one.photos) > 1 for one in chosen),
    )


def thresholds(others: F64) -> list[tuple[float, float]]:
    """Rates of false matches that so many comparisons can show, and the thresholds for them, ascending."""
    falling = np.sort(others)[::-1]
    found: dict[float, float] = {}
    for target in _TARGETS:
        allowed = int(target * len(falling))
        if target * len(falling) >= _LEAST_MATCHES and allowed < len(falling):
            # The least number of three decimals above the first similarity that must not match.
            threshold = (np.floor(float(falling[allowed]) * 1_000.0) + 1.0) / 1_000.0
            if threshold <= 1.0:
                found.setdefault(round(float(threshold), 3), target)
    return sorted((target, threshold) for threshold, target in found.items())[::-1]


def strict_threshold(others: F64) -> float | None:
    """A threshold that one of 1,000 pairs of two people reaches, or as few as the comparisons can show."""
    found = [threshold for target, threshold in thresholds(others) if target >= 0.001]
    return found[-1] if found else None


def row_of(name: str, others: F64, people: int, own: F64, threshold: float) -> LabRow:
    """The errors at a threshold: a match is a similarity that reaches it."""
    interval = fmr_by_people(others, people, [threshold], seed=0, replicates=_REPLICATES).get(threshold)
    matches = int((others >= threshold).sum())
    if interval is None or not matches:
        # Nothing matched, which people // 2 comparisons, each of other people, bear out.
        interval = wilson_interval(0, people // 2)
    false = Measured(matches, len(others), interval.low, interval.high)
    return LabRow(name, false, rate_of_people(int((own < threshold).sum()), len(own)))


def rate_of_people(count: int, total: int) -> Measured:
    """So many of all, each of another person, with the interval of Wilson."""
    interval = wilson_interval(count, total)
    return Measured(count, total, interval.low, interval.high)
