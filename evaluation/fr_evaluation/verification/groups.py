"""Differentials: how the model errs on each group of people that the set labels, at two thresholds.

A group's false non-match rate is of its mated pairs, its false match rate of comparisons of two people who are both of
it, as two people of one group are the likelier ones to be mistaken. Few people cannot show that groups are alike, and
chance alone sets them apart: a difference is one only where it exceeds what labels make that are permuted among people.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.differentials import (
    Differential,
    GroupRate,
    WithoutDifference,
    by_people,
    differential,
    draws_within,
    rates_by_group,
    without_difference,
)
from fr_core.scoring.group_trials import EveryTwo, GroupTrials, MatedTrials
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.verification import threshold_at_fmr
from fr_core.types import I64
from fr_evaluation.verification.compare import F64, AcrossPeople, ComparedPairs
from fr_evaluation.verification.figures import Undefined
from fr_locales.messages import Message, message

# The overall false match rate at whose threshold groups are compared, beside the pack's threshold.
OVERALL_FMR = 1e-2
# Lower ends of the bands of ages; below the first is a band of its own, and the last has no end.
BANDS = (18, 30, 45, 60)
# In years, of nobody; a label with it, or with -1 for those whose age is not known, is not an age.
ELDEST = 150
_Thresholds = Sequence[tuple[Message, float]]
AGE = re.compile(r"(?:^|[_ -])age(?:$|[_ -])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GroupedRate:
    """One error rate of the groups of one kind of label. Those by chance are of labels that say nothing."""

    rate: str  # "fmr" or "fnmr"
    groups: tuple[GroupRate, ...]
    spread: Differential | None = None  # how far apart they are; None where fewer than two groups have a rate
    # Rate of each group to the geometric mean of all, with its interval.
    by_people: Mapping[str, Bootstrap] = field(default_factory=dict)
    max_to_min: Bootstrap | None = None  # highest to lowest of these two groups
    max_to_min_by_chance: WithoutDifference | None = None
    gini_by_chance: WithoutDifference | None = None
    notes: tuple[str, ...] = ()  # what is undefined, and why

    def ratios(self) -> Mapping[str, float]:
        """Group -> its rate to the geometric mean of all; empty where undefined."""
        if self.spread is None or self.spread.ratios is None:
            return {}
        return dict(zip(self.spread.groups, self.spread.ratios, strict=True))

    def beyond_chance(self) -> bool | None:
        """Return whether the rates are further apart than chance sets them; None where that cannot be told.

        By the highest to the lowest, or by the Gini coefficient where a group has no error.
        """
        spread, widest, concentration = self.spread, self.max_to_min_by_chance, self.gini_by_chance
        if spread is None or spread.gini is None or widest is None or concentration is None:
            return None
        if spread.max_to_min is None:
            return concentration.exceeded_by(spread.gini)
        return widest.exceeded_by(spread.max_to_min)

    def extremes(self) -> tuple[str, str]:
        """The groups of the lowest and of the highest rate, the first and the last of equals; two must have one."""
        values = {one.group: one.rate.value for one in self.groups if one.rate is not None}
        return min(values, key=values.__getitem__), max(reversed(values), key=values.__getitem__)


@dataclass(frozen=True, slots=True)
class ByThreshold:
    """The false non-match rate, and the false match rate within the group, at one threshold."""

    at: Message  # why this threshold
    threshold: float  # similarity >= threshold is accepted
    fnmr: GroupedRate  # of mated pairs
    fmr: GroupedRate  # of comparisons within the group


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """The groups of one kind of label, such as "gender"."""

    kind: str
    banded: bool  # whether ages were put into bands
    people: Mapping[str, int]  # of the list by group; fewer may be behind a rate
    unlabelled: int  # of whom nothing is said, and who are in no group
    at: tuple[ByThreshold, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """The input of all groups: similarities, and the people of each comparison, by number."""

    mated: F64
    failures: int
    of_mated: I64  # i64[n + failures], of the mated comparisons, then of the mated pairs that failed
    nonmated: F64
    first: I64
    second: I64
    across: npt.NDArray[np.bool_]  # bool[p], who is compared with all others

    def missed(self, threshold: float) -> MatedTrials:
        """Mated pairs at a threshold; those that failed are missed."""
        errors = np.concatenate([self.mated < threshold, np.ones(self.failures, dtype=np.bool_)])
        count = len(self.across)
        wrong, trials = (np.bincount(of, minlength=count) for of in (self.of_mated[errors], self.of_mated))
        return MatedTrials(wrong.astype(np.float64), trials.astype(np.float64))

    def accepted(self, threshold: float) -> EveryTwo:
        """Comparisons of every two people at a threshold."""
        errors = self.nonmated >= threshold
        return EveryTwo(self.first[errors], self.second[errors], self.across)


def group_figures(
    compared: ComparedPairs,
    across: AcrossPeople | None,
    labels: Mapping[str, Mapping[str, str]],
    threshold: float,
    *,
    seed: int,
    draws: int = 1000,
) -> tuple[LabelFigures, ...]:
    """Both error rates by group, for each kind of label, in the order of the set.

    `compared` are of one model, `across` of the same photos. `labels` map an identity to a kind to a text; an empty
    text says nothing. `threshold` is the pack's. `draws` are resamples, and permutations; fewer where there are many
    errors, 200 at least. Raises `UndefinedRate` if nobody is labelled, or the list names nobody, and `CallEnded`.
    """
    if across is None or not any(labels.values()):
        raise UndefinedRate(message("undefined.core.nothing_said_people_list"))
    pairs = (*(pair for pair in compared.pairs if pair.mated), *(pair for pair in compared.failed if pair.mated))
    listed = (*compared.pairs, *compared.failed)
    names = tuple(dict.fromkeys((*across.names, *(name for pair in listed for name in pair.people or ()))))
    numbers = {name: number for number, name in enumerate(names)}
    trials = _Trials(
        compared.mated_similarities,
        compared.mated_failures,
        np.array([numbers[(pair.people or ("",))[0]] for pair in pairs], dtype=np.int64),
        across.similarities,
        *across.places(),  # the first names are those of `across`
        np.arange(len(names)) < across.people,
    )
    thresholds = [(message("evaluation.at.default"), threshold)]
    if OVERALL_FMR * len(trials.nonmated) >= 1:
        overall = threshold_at_fmr(trials.nonmated, OVERALL_FMR)
        thresholds.append((message("evaluation.at.overall", rate=OVERALL_FMR), overall))
    kinds = dict.fromkeys(kind for said in labels.values() for kind in said)
    said = {kind: [labels.get(name, {}).get(kind, "").strip() for name in names] for kind in kinds}
    return tuple(_of_kind(kind, said[kind], trials, thresholds, seed, draws) for kind in kinds)


def age_band(text: str) -> str:
    """The band of an age in years, such as "18-29"; ValueError where it is not a number from 0 to below 150."""
    age = float(text)
    if not 0 <= age < ELDEST:  # nor is NaN
        raise ValueError("Nobody is of that age.")
    if age < BANDS[0]:
        return f"under {BANDS[0]}"
    for low, end in pairwise(BANDS):
        if age < end:
            return f"{low}-{end - 1}"
    return f"{BANDS[-1]} and over"


def _of_kind(
    kind: str, said: Sequence[str], trials: _Trials, thresholds: _Thresholds, seed: int, draws: int
) -> LabelFigures:
    values, banded = _banded(kind, said)
    names = sorted({value for value in values if value}, key=lambda name: (not name.startswith("under "), name))
    places = {name: place for place, name in enumerate(names)}
    of_person = np.array([places.get(value, -1) for value in values], dtype=np.int64)
    people = {name: int((of_person == place).sum()) for name, place in places.items()}
    at = tuple(
        ByThreshold(
            why,
            threshold,
            _grouped("fnmr", trials.missed(threshold), of_person, names, seed, draws),
            _grouped("fmr", trials.accepted(threshold), of_person, names, seed, draws),
        )
        for why, threshold in thresholds
    )
    return LabelFigures(kind, banded, people, int((of_person < 0).sum()), at)


def _banded(kind: str, said: Sequence[str]) -> tuple[list[str], bool]:
    """Ages in bands, where the label is one and all are ages; anything else as it is."""
    if not AGE.search(kind):
        return list(said), False
    try:
        return [age_band(text) if text else "" for text in said], True
    except ValueError:
        return list(said), False


def _grouped(
    name: str, trials: GroupTrials, of_person: I64, names: Sequence[str], seed: int, draws: int
) -> GroupedRate:
    rates = rates_by_group(trials, of_person, names)
    try:
        spread = differential(rates)
    except UndefinedRate as undefined:
        return GroupedRate(name, rates, notes=(str(undefined),))
    measured = [place for place, group in enumerate(rates) if group.rate is not None]
    kept = trials.present & np.isin(of_person, measured)
    trials, of_person = trials.among(kept), np.searchsorted(measured, of_person[kept])
    found = Undefined()
    most = found.unless("Draws", lambda: draws_within(draws, trials))
    sure = chance = None
    if spread.ratios is not None and most is not None:
        sure = found.unless("Intervals by people", lambda: by_people(trials, of_person, seed=seed, replicates=most))
    if spread.gini is not None and most is not None:
        chance = found.unless(
            "Without a difference", lambda: without_difference(trials, of_person, seed=seed, permutations=most)
        )
    return GroupedRate(
        name,
        rates,
        spread,
        {} if sure is None else dict(zip(spread.groups, sure.ratios, strict=True)),
        None if sure is None else sure.max_to_min,
        None if chance is None else chance[0],
        None if chance is None else chance[1],
        (*spread.notes, *(f"{title}: {why}" for title, why in found.items())),
    )
