"""Differentials between groups of people: each group's error rates, and how far apart they are.

A false match is likelier between people of one group, so a group's FMR is of non-mated pairs within the group. Sources:
P. Grother, "Face Recognition Vendor Test (FRVT) Part 8: Summarizing demographic differentials", NIST IR 8429 (2022);
J. J. Howard, E. J. Laird, Y. B. Sirotin, R. E. Rubin, J. L. Tipton and A. R. Vemury, "Evaluating proposed fairness
models for face recognition algorithms", ICPR workshops (2022), arXiv 2203.05051.

Every figure here is undefined rather than 0 or infinite where a group has no error to divide by: no error among a
few trials is not an error rate of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fr_core.scoring.bootstrap import Bootstrap, subject_bootstrap
from fr_core.scoring.checks import F64, Bools, check_similarities, check_threshold
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate, UndefinedRate, rate

I64 = npt.NDArray[np.int64]

# A rate of fewer trials says more of the trials than of the group: at 30, no error at all still allows a rate of .11.
MIN_TRIALS = 30


@dataclass(frozen=True, slots=True)
class GroupRate:
    """One group's error rate, or why there is none.

    Attributes:
        group: its name.
        trials: pairs of the group, failures included where they count.
        rate: None if the group has fewer than 30 trials.
        note: why there is no rate; "" if there is one.
    """

    group: str
    trials: int
    rate: Rate | None
    note: str


@dataclass(frozen=True, slots=True)
class Differential:
    """How far apart the rates of the groups are.

    Attributes:
        groups: names of the groups that are compared, at least two.
        left_out: names of the groups that have too few trials for a rate.
        ratios: each group's rate to the geometric mean of all, in the order of `groups`; None if undefined.
        max_to_min: highest to lowest rate, at least 1; None if undefined.
        gini: in [0, 1], 0 where all rates are equal; None if undefined.
        notes: a sentence for each group of figures that is undefined, saying why.
    """

    groups: tuple[str, ...]
    left_out: tuple[str, ...]
    ratios: tuple[float, ...] | None
    max_to_min: float | None
    gini: float | None
    notes: tuple[str, ...]


def fmr_by_group(
    nonmated: F64, groups: I64, names: Sequence[str], threshold: float, confidence: float = DEFAULT_CONFIDENCE
) -> tuple[GroupRate, ...]:
    """Each group's false match rate with its Wilson interval, in the order of the names.

    Args:
        nonmated: f64[n], finite similarities of non-mated pairs, both of whose people are of one group.
        groups: i64[n], the pair's group: a place in `names`.
        names: of the groups, distinct.
        threshold: accept iff similarity >= threshold.
        confidence: of the intervals, in (0, 1).

    Raises:
        ValueError: shapes, dtypes or ranges differ from the above.
    """
    check_similarities(nonmated)
    check_threshold(threshold)
    return rates_by_group(nonmated >= threshold, groups, names, confidence)


def fnmr_by_group(
    mated: F64,
    groups: I64,
    names: Sequence[str],
    threshold: float,
    failed_groups: Sequence[int] = (),
    confidence: float = DEFAULT_CONFIDENCE,
) -> tuple[GroupRate, ...]:
    """Each group's false non-match rate with its Wilson interval, in the order of the names.

    Args:
        mated: f64[n], finite similarities of mated pairs.
        groups: i64[n], the pair's group: a place in `names`.
        names: of the groups, distinct.
        threshold: accept iff similarity >= threshold.
        failed_groups: the group of each further mated pair that could not be compared; each counts as a non-match.
        confidence: of the intervals, in (0, 1).

    Raises:
        ValueError: shapes, dtypes or ranges differ from the above.
    """
    check_similarities(mated)
    check_threshold(threshold)
    _check_groups(groups, mated.shape, len(names))
    failed = np.asarray(failed_groups, dtype=np.int64)
    errors = np.concatenate([mated < threshold, np.ones(len(failed), dtype=np.bool_)])
    return rates_by_group(errors, np.concatenate([groups, failed]), names, confidence)


def rates_by_group(
    errors: Bools, groups: I64, names: Sequence[str], confidence: float = DEFAULT_CONFIDENCE
) -> tuple[GroupRate, ...]:
    """Each group's share of errors with its Wilson interval, in the order of the names; none under 30 trials.

    Args:
        errors: bool[n], the trials that went wrong, failures among them where they count.
        groups: i64[n], the trial's group: a place in `names`.
        names: of the groups, distinct.
        confidence: of the intervals, in (0, 1).

    Raises:
        ValueError: shapes, dtypes or ranges differ from the above.
    """
    if len(set(names)) != len(names):
        raise ValueError("Two groups have the same name.")
    _check_errors(errors)
    _check_groups(groups, errors.shape, len(names))
    trials = np.bincount(groups, minlength=len(names))
    wrong = np.bincount(groups[errors], minlength=len(names))
    return tuple(
        _group_rate(name, int(count), int(total), confidence)
        for name, count, total in zip(names, wrong, trials, strict=True)
    )


def ratios_to_geometric_mean(rates: F64) -> F64:
    """f64[g]: each rate to the geometric mean of all, which has no outstanding group as its yardstick.

    Source: NIST IR 8429.

    Args:
        rates: f64[g] in [0, 1], of at least two groups.

    Raises:
        UndefinedRate: there are fewer than two groups, or one has no error, which makes the mean 0.
        ValueError: the rates are not f64[g] in [0, 1].
    """
    _check_rates(rates)
    if not rates.all():
        raise UndefinedRate("A group has no error, so that its ratio to the others is unknown.")
    logs = np.log(rates)
    return np.asarray(np.exp(logs - logs.mean()), dtype=np.float64)


def max_to_min(rates: F64) -> float:
    """The highest rate to the lowest.

    Chance alone makes it exceed 1, the more so the fewer errors and the more groups there are: read it with an
    interval. Source, arguments and errors are those of `ratios_to_geometric_mean`.
    """
    _check_rates(rates)
    if not rates.all():
        raise UndefinedRate("A group has no error, so that its ratio to the others is unknown.")
    return float(rates.max() / rates.min())


def gini(rates: F64) -> float:
    """The Gini coefficient of the rates: 0 where all are equal, 1 where one group has all errors.

    It is n / (n - 1) times the mean absolute difference of all n^2 pairs of rates over twice their mean: corrected, so
    that few groups reach 1 too. Source: Howard et al. (2022); NIST IR 8429.

    Args:
        rates: f64[g] in [0, 1], of at least two groups; some may be 0.

    Raises:
        UndefinedRate: there are fewer than two groups, or none has an error.
        ValueError: the rates are not f64[g] in [0, 1].
    """
    _check_rates(rates)
    if not rates.any():
        raise UndefinedRate("No group has an error, so that the share of each is unknown.")
    n = len(rates)
    difference = np.abs(rates[:, None] - rates[None, :]).sum() / (n * n)
    return float(n / (n - 1) * difference / (2 * rates.mean()))


def differential(rates: Sequence[GroupRate]) -> Differential:
    """The figures of all groups that have a rate; those that are undefined are None, with a note.

    Raises:
        UndefinedRate: fewer than two groups have a rate.
    """
    shown = [(group.group, group.rate.value) for group in rates if group.rate is not None]
    values = np.array([value for _, value in shown], dtype=np.float64)
    _check_rates(values)
    notes = []
    ratios: tuple[float, ...] | None = None
    widest = concentration = None
    try:
        ratios = tuple(ratios_to_geometric_mean(values).tolist())
        widest = max_to_min(values)
    except UndefinedRate as undefined:
        notes.append(f"Ratios: {undefined}")
    try:
        concentration = gini(values)
    except UndefinedRate as undefined:
        notes.append(f"Gini coefficient: {undefined}")
    left_out = tuple(group.group for group in rates if group.rate is None)
    return Differential(tuple(name for name, _ in shown), left_out, ratios, widest, concentration, tuple(notes))


def bootstrap_differential(
    figure: Callable[[F64], float],
    errors: Bools,
    groups: I64,
    subjects_a: I64,
    subjects_b: I64,
    *,
    seed: int,
    replicates: int = 1000,
    confidence: float = DEFAULT_CONFIDENCE,
) -> Bootstrap:
    """A figure of the groups' rates, with an interval from resampling people (see `subject_bootstrap`).

    Groups with fewer than 30 trials are left out, as in `rates_by_group`.

    Args:
        figure: of f64[g], the rates of the groups in ascending order of their numbers, such as `max_to_min` or `gini`.
        errors: bool[n], the trials that went wrong, failures among them where they count.
        groups: i64[n], the trial's group, from 0.
        subjects_a: i64[n], a number for the person of each trial's one photo.
        subjects_b: i64[n], that of the other photo; equal for a mated trial.
        seed: of the random draws, at least 0.
        replicates: resamples, at least 2.
        confidence: in (0, 1).

    Raises:
        UndefinedRate: the figure is undefined, at once or in too many resamples, as where a group has hardly any error.
        ValueError: shapes, dtypes or ranges differ from the above.
    """
    _check_errors(errors)
    _check_groups(groups, errors.shape, None)
    if subjects_a.shape != errors.shape or subjects_b.shape != errors.shape:
        raise ValueError(f"{len(errors)} trials need as many subjects on both sides.")
    trials = np.bincount(groups)
    kept = np.flatnonzero(trials >= MIN_TRIALS)
    inside = (trials >= MIN_TRIALS)[groups]
    place = np.searchsorted(kept, groups[inside])
    wrong = errors[inside].astype(np.float64)

    def of_weights(weights: F64) -> float:
        totals = np.bincount(place, weights, minlength=len(kept))
        if not totals.all():
            raise UndefinedRate("A group has no trial in this resample.")
        return figure(np.bincount(place, weights * wrong, minlength=len(kept)) / totals)

    return subject_bootstrap(
        of_weights,
        subjects_a[inside],
        subjects_b[inside],
        seed=seed,
        replicates=replicates,
        confidence=confidence,
    )


def _group_rate(name: str, count: int, total: int, confidence: float) -> GroupRate:
    if total < MIN_TRIALS:
        return GroupRate(name, total, None, f"Fewer than {MIN_TRIALS} trials are too few for a rate.")
    return GroupRate(name, total, rate(count, total, confidence), "")


def _check_rates(rates: F64) -> None:
    if rates.ndim != 1 or rates.dtype != np.float64 or not ((rates >= 0.0) & (rates <= 1.0)).all():
        raise ValueError("Rates are f64[g], each in [0, 1].")
    if len(rates) < 2:
        raise UndefinedRate("A differential needs at least two groups with a rate.")


def _check_errors(errors: Bools) -> None:
    if errors.ndim != 1 or errors.dtype != np.bool_:
        raise ValueError(f"Errors are bool[n], not {errors.dtype}{list(errors.shape)}.")


def _check_groups(groups: I64, shape: tuple[int, ...], names: int | None) -> None:
    """A group number for each trial, from 0 and below the number of names, if there is one."""
    if groups.dtype != np.int64 or groups.shape != shape:
        raise ValueError(
            f"Groups are i64[n], one for each of {shape[0]} trials, not {groups.dtype}{list(groups.shape)}."
        )
    if len(groups) and (groups.min() < 0 or (names is not None and groups.max() >= names)):
        raise ValueError("A group number has no name: they count from 0, in the order of the names.")
