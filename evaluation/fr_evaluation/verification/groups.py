"""Differentials: how the model errs on each group of people that the set labels, at two thresholds.

A group's false non-match rate is of its mated pairs, its false match rate of comparisons of two people who are both of
it, as two people of one group are the likelier ones to be mistaken. Few people cannot show that groups are alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.differentials import (
    MIN_TRIALS,
    Differential,
    GroupRate,
    bootstrap_differential,
    differential,
    fmr_by_group,
    fnmr_by_group,
    gini,
    max_to_min,
)
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.verification import threshold_at_fmr
from fr_core.types import I64
from fr_evaluation.verification.compare import F64, AcrossPeople, ComparedPairs

# The overall false match rate at whose threshold groups are compared, beside the pack's threshold.
OVERALL_FMR = 1e-2
# Lower ends of the bands of ages; below the first is a band of its own, and the last has no end.
BANDS = (18, 30, 45, 60)
AGE = re.compile(r"(?:^|[_ -])age(?:$|[_ -])", re.IGNORECASE)
# A group of fewer people has no rates: its comparisons are many, and all of the same few.
MIN_PEOPLE = MIN_TRIALS
# Weights that all resamples of one interval may take together, which is a second or two; and the fewest resamples.
MOST_WEIGHTS = 50_000_000
FEWEST_REPLICATES = 200


@dataclass(frozen=True, slots=True)
class GroupedRate:
    """One error rate of the groups of one kind of label.

    Attributes:
        rate: "fmr" or "fnmr".
        groups: each with its rate, or why it has none.
        spread: how far apart they are; None where fewer than two groups have a rate.
        max_to_min: highest to lowest rate with its interval by people; None where undefined.
        gini: the Gini coefficient with its interval by people; None where undefined.
        notes: what is undefined, and why.
    """

    rate: str
    groups: tuple[GroupRate, ...]
    spread: Differential | None
    max_to_min: Bootstrap | None
    gini: Bootstrap | None
    notes: tuple[str, ...]

    def ratios(self) -> Mapping[str, float]:
        """Group -> its rate to the geometric mean of all; empty where undefined."""
        if self.spread is None or self.spread.ratios is None:
            return {}
        return dict(zip(self.spread.groups, self.spread.ratios, strict=True))

    def apart(self) -> tuple[str, str] | None:
        """The groups of the lowest and of the highest rate, where their intervals do not overlap."""
        rates = [(one.rate, one.group) for one in self.groups if one.rate is not None]
        if not rates:
            return None
        low, high = (end(rates, key=lambda one: one[0].value) for end in (min, max))
        return (low[1], high[1]) if low[0].interval.high < high[0].interval.low else None


@dataclass(frozen=True, slots=True)
class ByThreshold:
    """Both error rates of the groups at one threshold.

    Attributes:
        at: why this threshold: "the pack's threshold", or the overall false match rate.
        threshold: accept iff similarity >= threshold.
        fnmr: of mated pairs.
        fmr: of comparisons within the group.
    """

    at: str
    threshold: float
    fnmr: GroupedRate
    fmr: GroupedRate


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """The groups of one kind of label.

    Attributes:
        kind: such as "gender".
        banded: whether ages were put into bands.
        people: group -> how many people are of it; one of fewer than `MIN_PEOPLE` has no rates.
        unlabelled: people of the list of whom nothing is said; they are in no group.
        at: at each threshold.
    """

    kind: str
    banded: bool
    people: Mapping[str, int]
    unlabelled: int
    at: tuple[ByThreshold, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """What the groups of all kinds are computed from: similarities, and whom each comparison is about, by number."""

    mated: F64
    failures: int
    of_mated: I64  # i64[n + failures], of the mated comparisons, then of the mated pairs that failed
    nonmated: F64
    first: I64
    second: I64


def group_figures(
    compared: ComparedPairs,
    across: AcrossPeople | None,
    labels: Mapping[str, Mapping[str, str]],
    threshold: float,
    *,
    seed: int,
    replicates: int = 1000,
) -> tuple[LabelFigures, ...]:
    """Both error rates by group, for each kind of label, in the order of the set.

    Args:
        compared: of one model.
        across: of the same photos.
        labels: identity -> kind -> text; an empty text says nothing.
        threshold: the pack's.
        seed: of the bootstrap's draws.
        replicates: of the bootstrap; fewer, 200 at least, where there are more than 50,000 comparisons.

    Raises:
        UndefinedRate: nobody is labelled, or the list names nobody.
    """
    if across is None or not any(labels.values()):
        raise UndefinedRate("Nothing is said of the people of the list, so that they are in no groups.")
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
    )
    thresholds = {"the pack's threshold": threshold}
    if OVERALL_FMR * len(trials.nonmated) >= 1:
        thresholds[f"false match rate {OVERALL_FMR:g} overall"] = threshold_at_fmr(trials.nonmated, OVERALL_FMR)
    kinds = dict.fromkeys(kind for said in labels.values() for kind in said)
    return tuple(
        _of_kind(
            kind, [labels.get(name, {}).get(kind, "").strip() for name in names], trials, thresholds, seed, replicates
        )
        for kind in kinds
    )


def age_band(text: str) -> str:
    """The band of an age in years, such as "18-29"; ValueError where it is no number."""
    age = float(text)
    if age < BANDS[0]:
        return f"under {BANDS[0]}"
    for low, end in pairwise(BANDS):
        if age < end:
            return f"{low}-{end - 1}"
    return f"{BANDS[-1]} and over"


def _of_kind(
    kind: str, said: Sequence[str], trials: _Trials, thresholds: Mapping[str, float], seed: int, replicates: int
) -> LabelFigures:
    values, banded = _banded(kind, said)
    names = sorted({value for value in values if value}, key=lambda name: (not name.startswith("under "), name))
    places = {name: place for place, name in enumerate(names)}
    of_person = np.array([places.get(value, -1) for value in values], dtype=np.int64)
    people = {name: int((of_person == place).sum()) for name, place in places.items()}
    few = [name for name in names if people[name] < MIN_PEOPLE]
    measured = np.where(np.isin(of_person, [places[name] for name in few]), -1, of_person)
    at = tuple(
        ByThreshold(
            why,
            threshold,
            _without(few, _fnmr(trials, measured, names, threshold, seed, replicates)),
            _without(few, _fmr(trials, measured, names, threshold, seed, replicates)),
        )
        for why, threshold in thresholds.items()
    )
    return LabelFigures(kind, banded, people, int((of_person < 0).sum()), at)


def _without(few: Sequence[str], grouped: GroupedRate) -> GroupedRate:
    """The same, which says of the groups that were left out why."""
    note = f"Fewer than {MIN_PEOPLE} people are too few for a rate."
    groups = tuple(replace(one, note=note) if one.group in few else one for one in grouped.groups)
    return replace(grouped, groups=groups)


def _banded(kind: str, said: Sequence[str]) -> tuple[list[str], bool]:
    """Ages in bands, where the label is one and all are numbers; anything else as it is."""
    if not AGE.search(kind):
        return list(said), False
    try:
        return [age_band(text) if text else "" for text in said], True
    except ValueError:
        return list(said), False


def _fnmr(
    trials: _Trials, of_person: I64, names: Sequence[str], threshold: float, seed: int, replicates: int
) -> GroupedRate:
    groups = of_person[trials.of_mated]
    made = len(trials.mated)
    known = groups >= 0
    rates = fnmr_by_group(
        trials.mated[known[:made]],
        groups[:made][known[:made]],
        names,
        threshold,
        groups[made:][known[made:]].tolist(),
    )
    errors = np.concatenate([trials.mated < threshold, np.ones(trials.failures, dtype=np.bool_)])
    subjects = trials.of_mated[known]
    return _spread("fnmr", rates, errors[known], groups[known], subjects, subjects, seed, replicates)


def _fmr(
    trials: _Trials, of_person: I64, names: Sequence[str], threshold: float, seed: int, replicates: int
) -> GroupedRate:
    groups = of_person[trials.first]
    within = (groups >= 0) & (groups == of_person[trials.second])
    nonmated, groups = trials.nonmated[within], groups[within]
    rates = fmr_by_group(nonmated, groups, names, threshold)
    subjects = trials.first[within], trials.second[within]
    return _spread("fmr", rates, nonmated >= threshold, groups, *subjects, seed, replicates)


def _spread(
    name: str,
    rates: tuple[GroupRate, ...],
    errors: npt.NDArray[np.bool_],
    groups: I64,
    first: I64,
    second: I64,
    seed: int,
    replicates: int,
) -> GroupedRate:
    try:
        spread = differential(rates)
    except UndefinedRate as undefined:
        return GroupedRate(name, rates, None, None, None, (str(undefined),))
    notes = list(spread.notes)
    fewer = min(replicates, max(FEWEST_REPLICATES, MOST_WEIGHTS // len(errors)))
    found: dict[str, Bootstrap] = {}
    for title, figure, value in (
        ("Highest to lowest rate", max_to_min, spread.max_to_min),
        ("Gini coefficient", gini, spread.gini),
    ):
        if value is None:
            continue
        try:
            found[title] = bootstrap_differential(figure, errors, groups, first, second, seed=seed, replicates=fewer)
        except UndefinedRate as undefined:
            notes.append(f"{title}, interval by people: {undefined}")
    return GroupedRate(
        name, rates, spread, found.get("Highest to lowest rate"), found.get("Gini coefficient"), tuple(notes)
    )
