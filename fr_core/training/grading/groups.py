"""For whom a trainee errs: both error rates by the labels of the people shown, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.differentials import max_to_min, ratios_to_geometric_mean
from fr_core.scoring.intervals import Rate
from fr_core.training.grading.values import Maybe, Undefined, share, unless_undefined
from fr_core.training.results import Result

MIN_TRIALS = 30
"""Fewer say more of chance than of the group. At 30 trials, no error at all still allows a rate of .11."""


@dataclass(frozen=True, slots=True)
class GroupErrors:
    """Pairs whose people all have one label.

    Attributes:
        group: the label.
        same: pairs of one person.
        different: pairs of two people.
        misses: pairs of one person that were called different; undefined under 30 of them.
        false_same: pairs of two people that were called the same; undefined under 30 of them.
    """

    group: str
    same: int
    different: int
    misses: Maybe[Rate]
    false_same: Maybe[Rate]


@dataclass(frozen=True, slots=True)
class Spread:
    """How far apart the rates of groups are.

    Attributes:
        ratios: each group's rate to the geometric mean of all (NIST IR 8429), in the order of `groups`.
        groups: that have a rate.
        max_to_min: highest to lowest rate, at least 1; chance alone makes it larger than 1.
    """

    groups: tuple[str, ...]
    ratios: tuple[float, ...]
    max_to_min: float


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """By one kind of label.

    Attributes:
        kind: such as "gender".
        groups: in the order of the alphabet.
        misses: how far apart the misses are.
        false_same: how far apart the false "same" are.
    """

    kind: str
    groups: tuple[GroupErrors, ...]
    misses: Maybe[Spread]
    false_same: Maybe[Spread]


def group_figures(pairs: Sequence[Result]) -> tuple[GroupFigures, ...]:
    """Both error rates of rated pairs by every kind of label that their people share, in the order of the alphabet."""
    labelled: dict[str, dict[str, list[Result]]] = {}
    for one in pairs:
        for kind, label in one.groups.items():
            labelled.setdefault(kind, {}).setdefault(label, []).append(one)
    return tuple(_by_label(kind, groups) for kind, groups in sorted(labelled.items()))


def _by_label(kind: str, labelled: dict[str, list[Result]]) -> GroupFigures:
    groups = tuple(_errors(label, pairs) for label, pairs in sorted(labelled.items()))
    return GroupFigures(
        kind, groups, _spread(groups, lambda one: one.misses), _spread(groups, lambda one: one.false_same)
    )


def _errors(group: str, pairs: Sequence[Result]) -> GroupErrors:
    same = [one for one in pairs if one.truth == "same"]
    different = [one for one in pairs if one.truth == "different"]
    return GroupErrors(group, len(same), len(different), _rate(same, "different"), _rate(different, "same"))


def _rate(pairs: Sequence[Result], wrong: str) -> Maybe[Rate]:
    if len(pairs) < MIN_TRIALS:
        return Undefined(f"Fewer than {MIN_TRIALS} pairs are too few for a rate of a group.")
    return share(sum(one.answer == wrong for one in pairs), len(pairs), "pairs")


def _spread(groups: Sequence[GroupErrors], rate_of: Callable[[GroupErrors], Maybe[Rate]]) -> Maybe[Spread]:
    rated = [(one.group, rate) for one in groups if isinstance(rate := rate_of(one), Rate)]
    values = np.array([rate.value for _, rate in rated], dtype=np.float64)
    return unless_undefined(
        lambda: Spread(
            tuple(name for name, _ in rated), tuple(ratios_to_geometric_mean(values).tolist()), max_to_min(values)
        )
    )
