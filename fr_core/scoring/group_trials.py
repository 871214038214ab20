"""Trials of people who are in groups: how many there are of each group, and how many went wrong, by person.

A person may weigh several times, as where people are resampled: a mated trial weighs as often as its person, another
the product of its two people (see `bootstrap`). A trial of two people is of a group if both are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fr_core.scoring.checks import F64, Bools

I64 = npt.NDArray[np.int64]


class GroupTrials(Protocol):
    """Trials of p people, by their numbers."""

    @property
    def present(self) -> Bools:
        """bool[p]: who has a trial."""

    @property
    def work(self) -> int:
        """Return what one count costs, in numbers that are added."""

    def among(self, kept: Bools) -> GroupTrials:
        """The trials of those people alone, numbered anew in their order; bool[p]."""

    def by_group(self, of_person: I64, groups: int, weights: F64) -> tuple[F64, F64]:
        """f64[g] errors and f64[g] trials of each group.

        Args:
            of_person: i64[p], the group of each person, from 0; -1 for none.
            weights: f64[p], of each person, whole and at least 0.
        """


@dataclass(frozen=True, slots=True, eq=False)
class MatedTrials:
    """Comparisons of two photos of one person."""

    errors: F64  # f64[p], how many of each person's trials went wrong, failures among them
    trials: F64  # f64[p], how many there are

    @property
    def present(self) -> Bools:
        """bool[p]: who has a trial."""
        return self.trials > 0

    @property
    def work(self) -> int:
        """People."""
        return len(self.trials)

    def among(self, kept: Bools) -> MatedTrials:
        """The trials of those people alone."""
        return MatedTrials(self.errors[kept], self.trials[kept])

    def by_group(self, of_person: I64, groups: int, weights: F64) -> tuple[F64, F64]:
        """Errors and trials of each group."""
        inside = of_person >= 0
        group, weight = of_person[inside], weights[inside]
        return _sums(group, weight * self.errors[inside], groups), _sums(group, weight * self.trials[inside], groups)


@dataclass(frozen=True, slots=True, eq=False)
class EveryTwo:
    """Comparisons of every two of the people who are present; only errors are listed."""

    first: I64  # i64[e], the one person of each error
    second: I64  # i64[e], the other
    present: Bools  # bool[p], who was compared

    @property
    def work(self) -> int:
        """Errors and people."""
        return len(self.first) + len(self.present)

    def among(self, kept: Bools) -> EveryTwo:
        """The comparisons of two of those people."""
        numbers = np.cumsum(kept) - 1
        inside = kept[self.first] & kept[self.second]
        return EveryTwo(numbers[self.first[inside]], numbers[self.second[inside]], self.present[kept])

    def by_group(self, of_person: I64, groups: int, weights: F64) -> tuple[F64, F64]:
        """Errors and trials of each group."""
        group = of_person[self.first]
        within = (group >= 0) & (group == of_person[self.second])
        weight = weights[self.first[within]] * weights[self.second[within]]
        there = self.present & (of_person >= 0)
        sums, squares = (_sums(of_person[there], weights[there] ** power, groups) for power in (1, 2))
        return _sums(group[within], weight, groups), (sums**2 - squares) / 2  # the sum of the products of every two


def _sums(group: I64, values: F64, groups: int) -> F64:
    return np.bincount(group, values, minlength=groups).astype(np.float64)
