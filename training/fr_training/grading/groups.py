"""Computes both error rates by the labels of the people shown, and the ratio between groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import TypeAlias

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.differentials import max_to_min, ratios_to_geometric_mean
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Interval, Rate, rate
from fr_locales.messages import message
from fr_training.grading.values import Maybe, Undefined, grouped, unless_undefined
from fr_training.statistics.estimates import ENDS
from fr_training.trials import Result

MIN_TRIALS = 30
"""Fewer answers say more of chance than of the group. At 30, no error at all still allows a rate of .11."""

MIN_ITEMS = 30  # different pairs: with fewer, the rate is one of these photos, however many trainees answer them

DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class GroupErrors:
    """Pairs whose people all have one label."""

    group: str  # the label
    same: int  # answers to pairs of one person
    different: int  # answers to pairs of two people
    same_items: int  # different pairs of one person
    different_items: int  # different pairs of two people
    # Pairs of one person that were called different; undefined under 30 answers or 30 different pairs.
    misses: Maybe[Rate]
    false_same: Maybe[Rate]  # pairs of two people that were called the same; undefined likewise
    misses_interval: Maybe[Interval]  # 95 %, from resampling items, as answers to one item go together
    false_same_interval: Maybe[Interval]  # likewise


@dataclass(frozen=True, slots=True)
class Spread:
    """The ratio between the rates of groups."""

    groups: tuple[str, ...]  # that have a rate
    ratios: tuple[float, ...]  # each group's rate to the geometric mean of all (NIST IR 8429), in the order of `groups`
    max_to_min: float  # highest to lowest rate, at least 1; chance alone makes it larger than 1
    low: float  # lower end of its interval from resampling items, 95 % for all couples of groups together (Bonferroni)
    high: float
    beyond_chance: bool  # whether the interval excludes 1; else the groups are not shown to differ


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The groups of one kind of label."""

    kind: str  # such as "gender"
    groups: tuple[GroupErrors, ...]  # in the order of the alphabet
    misses: Maybe[Spread]  # how far apart the misses are
    false_same: Maybe[Spread]  # how far apart the false "same" are


@dataclass(frozen=True, slots=True)
class _Counted:
    """Answers of one truth of a group, by item."""

    wrong: F64  # [items]
    answers: F64  # [items]

    def rate(self) -> Maybe[Rate]:
        if self.answers.sum() < MIN_TRIALS:
            return Undefined(message("undefined.group_answers", least=MIN_TRIALS))
        if len(self.answers) < MIN_ITEMS:
            return Undefined(message("undefined.group_items", least=MIN_ITEMS))
        return rate(int(self.wrong.sum()), int(self.answers.sum()))

    def drawn(self, rng: np.random.Generator) -> F64:
        """f64[DRAWS]: the rate in resamples of items; half an error is added, so that none is 0."""
        items = len(self.answers)
        times = rng.multinomial(items, np.full(items, 1 / items), size=DRAWS).astype(np.float64)
        return np.asarray((times @ self.wrong + 0.5) / (times @ self.answers + 1.0), dtype=np.float64)


Draws: TypeAlias = dict[str, F64]  # by group, its rate in resamples


def group_figures(pairs: Sequence[Result], seed: int = 0) -> tuple[GroupFigures, ...]:
    """Both error rates of rated pairs by every kind of label that their people share, in the order of the alphabet."""
    labelled: dict[str, dict[str, list[Result]]] = {}
    for one in pairs:
        for kind, label in one.groups.items():
            labelled.setdefault(kind, {}).setdefault(label, []).append(one)
    rng = np.random.default_rng([seed, 5])
    return tuple(_by_label(kind, groups, rng) for kind, groups in sorted(labelled.items()))


def _by_label(kind: str, labelled: dict[str, list[Result]], rng: np.random.Generator) -> GroupFigures:
    misses, false_same = Draws(), Draws()
    groups = tuple(_errors(label, pairs, misses, false_same, rng) for label, pairs in sorted(labelled.items()))
    return GroupFigures(
        kind,
        groups,
        _spread({one.group: one.misses for one in groups}, misses),
        _spread({one.group: one.false_same for one in groups}, false_same),
    )


def _errors(
    group: str, pairs: Sequence[Result], misses: Draws, false_same: Draws, rng: np.random.Generator
) -> GroupErrors:
    """The errors of a group; its resampled rates are added to those of the others."""
    same, different = _counted(pairs, "same", "different"), _counted(pairs, "different", "same")
    rates = same.rate(), different.rate()
    for counted, found, draws in ((same, rates[0], misses), (different, rates[1], false_same)):
        if isinstance(found, Rate):
            draws[group] = counted.drawn(rng)
    return GroupErrors(
        group=group,
        same=int(same.answers.sum()),
        different=int(different.answers.sum()),
        same_items=len(same.answers),
        different_items=len(different.answers),
        misses=rates[0],
        false_same=rates[1],
        misses_interval=_interval(rates[0], misses.get(group)),
        false_same_interval=_interval(rates[1], false_same.get(group)),
    )


def _counted(pairs: Sequence[Result], truth: str, wrong: str) -> _Counted:
    items = grouped((one for one in pairs if one.truth == truth), lambda one: (one.form, one.item_id)).values()
    return _Counted(
        np.array([sum(one.answer == wrong for one in some) for some in items], dtype=np.float64),
        np.array([len(some) for some in items], dtype=np.float64),
    )


def _interval(found: Maybe[Rate], drawn: F64 | None) -> Maybe[Interval]:
    """The wider of Wilson's and the resamples', end by end: resamples of few errors in few items scatter too little."""
    if isinstance(found, Undefined):
        return found
    if drawn is None:
        return found.interval
    low, high = np.quantile(drawn, ENDS).tolist()
    return Interval(min(low, found.interval.low), max(high, found.interval.high), DEFAULT_CONFIDENCE)


def _spread(rates: Mapping[str, Maybe[Rate]], draws: Draws) -> Maybe[Spread]:
    rated = {group: one for group, one in rates.items() if isinstance(one, Rate)}
    values = np.array([one.value for one in rated.values()], dtype=np.float64)

    def of() -> Spread:
        ratios, widest = ratios_to_geometric_mean(values), max_to_min(values)
        highest, lowest = (max(rated, key=lambda one: sign * rated[one].value) for sign in (1.0, -1.0))
        tail = ENDS[0] / max(1, comb(len(rated), 2))
        low, high = np.quantile(draws[highest] / draws[lowest], [tail, 1.0 - tail]).tolist()
        return Spread(tuple(rated), tuple(ratios.tolist()), widest, low, high, low > 1.0)

    return unless_undefined(of)
