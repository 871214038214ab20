"""Differentials between groups of people: each group's error rates, how far apart they are, and what chance alone does.

A false match is likelier between people of one group, so a group's FMR is of non-mated pairs within the group. Sources:
P. Grother, "Face Recognition Vendor Test (FRVT) Part 8: Summarizing demographic differentials", NIST IR 8429 (2022);
J. J. Howard, E. J. Laird, Y. B. Sirotin, R. E. Rubin, J. L. Tipton and A. R. Vemury, "Evaluating proposed fairness
models for face recognition algorithms", ICPR workshops (2022), arXiv 2203.05051.

The highest of several rates exceeds the lowest by chance too, and resampling people does not tell by how much, as each
resample has a highest and a lowest again. So a spread is held against those of labels that are permuted among people:
P. Good, "Permutation, parametric, and bootstrap tests of hypotheses", Springer (2005).

Every figure here is undefined rather than 0 or infinite where a group has no error to divide by: no error among a
few trials is not an error rate of zero.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt

from fr_core.runtime.ticket import current_ticket
from fr_core.scoring.bootstrap import UNDEFINED_ALLOWED, Bootstrap
from fr_core.scoring.checks import F64
from fr_core.scoring.group_trials import GroupTrials
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate, UndefinedRate, rate
from fr_locales.messages import message

I64 = npt.NDArray[np.int64]

# A rate of fewer people says more of them than of the group; so many have as many trials at least. At 30 trials, no
# error at all still allows a rate of .11.
MIN_PEOPLE = 30
# Of the spreads of permuted labels, the share that a spread must exceed to be more than chance makes.
BEYOND_CHANCE = 0.95
# Draws between two questions whether the answer is still wanted.
BLOCK = 50
# What the draws of one figure should add up together, in numbers, which is a second or two; the fewest draws that are
# enough; and what these may add up, which is some seconds.
MOST_WORK = 50_000_000
FEWEST_DRAWS = 200
MOST_WORK_OF_FEWEST = 200_000_000


@dataclass(frozen=True, slots=True)
class GroupRate:
    """One group's error rate, or why there is none."""

    group: str
    people: int  # of the group who have a trial
    trials: int  # pairs of the group, failures included where they count
    rate: Rate | None  # None if fewer than 30 people have a trial
    note: str  # why there is no rate; "" if there is one


@dataclass(frozen=True, slots=True)
class Differential:
    """The distance between the rates of the groups."""

    groups: tuple[str, ...]  # names of the groups that are compared, at least two
    left_out: tuple[str, ...]  # names of the groups that have too few people for a rate
    # Each group's rate to the geometric mean of all, in the order of `groups`; None if undefined.
    ratios: tuple[float, ...] | None
    max_to_min: float | None  # highest to lowest rate, at least 1; None if undefined
    gini: float | None  # in [0, 1], 0 where all rates are equal; None if undefined
    notes: tuple[str, ...]  # a sentence for each group of figures that is undefined, saying why


@dataclass(frozen=True, slots=True)
class ByPeople:
    """Intervals of ratios by resampling people; the groups are fixed, so an interval may include 1."""

    ratios: tuple[Bootstrap, ...]  # each group's rate to the geometric mean of all
    # Of the two groups whose rates are highest and lowest. They were chosen for that, so that with many groups the
    # interval leaves out 1 too often: whether they differ, `WithoutDifference` tells.
    max_to_min: Bootstrap


@dataclass(frozen=True, slots=True)
class WithoutDifference:
    """A figure of the spread where labels say nothing, as they are permuted among the people."""

    median: float | None  # of the permutations; None if infinite, as where a group has no error
    high: float | None  # their 95th percentile, likewise
    permutations: int  # those in which the figure is defined

    def exceeded_by(self, value: float) -> bool:
        """Return whether a spread is larger than chance makes it in 95 of 100."""
        return self.high is not None and value > self.high


def rates_by_group(trials: GroupTrials, of_person: I64, names: Sequence[str]) -> tuple[GroupRate, ...]:
    """Each group's share of errors with its Wilson interval, in the order of the names; none under 30 people.

    Args:
        trials: of p people.
        of_person: i64[p], the group of each: a place in `names`, or -1.
        names: of the groups, distinct.

    Raises `ValueError`: shapes, dtypes or ranges differ from the above.
    """
    if len(set(names)) != len(names):
        raise ValueError("Two groups have the same name.")
    _check_groups(of_person, trials, len(names))
    wrong, total = trials.by_group(of_person, len(names), np.ones(len(of_person)))
    people = np.bincount(of_person[trials.present & (of_person >= 0)], minlength=len(names))
    return tuple(
        _group_rate(name, int(people[place]), int(wrong[place]), int(total[place])) for place, name in enumerate(names)
    )


def ratios_to_geometric_mean(rates: F64) -> F64:
    """f64[g]: each rate to the geometric mean of all, which has no outstanding group as its yardstick.

    Source: NIST IR 8429.

    `rates`: f64[g] in [0, 1], of at least two groups.

    Raises `UndefinedRate`: there are fewer than two groups, or one has no error, which makes the mean 0; `ValueError`:
    the rates are not f64[g] in [0, 1].
    """
    _check_rates(rates)
    if not rates.all():
        raise UndefinedRate(message("undefined.core.group_no_error_so"))
    logs = np.log(rates)
    return np.asarray(np.exp(logs - logs.mean()), dtype=np.float64)


def max_to_min(rates: F64) -> float:
    """The highest rate to the lowest.

    Chance alone makes it exceed 1, the more so the fewer errors and the more groups there are: hold it against
    `without_difference`. Source, arguments and errors are those of `ratios_to_geometric_mean`.
    """
    _check_rates(rates)
    if not rates.all():
        raise UndefinedRate(message("undefined.core.group_no_error_so"))
    return float(rates.max() / rates.min())


def gini(rates: F64) -> float:
    """The Gini coefficient of the rates: 0 where all are equal, 1 where one group has all errors.

    It is n / (n - 1) times the mean absolute difference of all n^2 pairs of rates over twice their mean: corrected, so
    that few groups reach 1 too. Source: Howard et al. (2022); NIST IR 8429.

    `rates`: f64[g] in [0, 1], of at least two groups; some may be 0.

    Raises `UndefinedRate`: there are fewer than two groups, or none has an error; `ValueError`: the rates are not
    f64[g] in [0, 1].
    """
    _check_rates(rates)
    if not rates.any():
        raise UndefinedRate(message("undefined.core.no_group_error_so"))
    n = len(rates)
    difference = np.abs(rates[:, None] - rates[None, :]).sum() / (n * n)
    return float(n / (n - 1) * difference / (2 * rates.mean()))


def differential(rates: Sequence[GroupRate]) -> Differential:
    """The figures of all groups that have a rate; those that are undefined are None, with a note.

    Raises `UndefinedRate`: fewer than two groups have a rate.
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


def draws_within(most: int, trials: GroupTrials) -> int:
    """Return how many resamples or permutations there is time for: `most`, or fewer where each costs much; 200 at
    least.

    Raises `UndefinedRate`: there is no time for 200, as of more than a million errors.
    """
    if FEWEST_DRAWS * trials.work > MOST_WORK_OF_FEWEST:
        raise UndefinedRate(message("undefined.core.so_many_errors_cannot"))
    return min(most, max(FEWEST_DRAWS, MOST_WORK // max(1, trials.work)))


def by_people(trials: GroupTrials, of_person: I64, *, seed: int, replicates: int = 1000) -> ByPeople:
    """Ratios of the groups' rates with percentile intervals from resampling people, all of the same resamples.

    Args:
        trials: of p people, each of whom has one.
        of_person: i64[p], the group of each, from 0, all of the numbers up to the highest.
        seed: of the random draws, at least 0.
        replicates: resamples, at least 2.

    Raises:
        UndefinedRate: ratios are undefined, at once or in more than one resample of a hundred, as where a group has
            hardly any error; or all resamples agree.
        ValueError: shapes, dtypes or ranges differ from the above.
        CallEnded: the caller's ticket is no longer wanted.
    """
    groups = _groups(of_person, trials)
    people = len(of_person)
    rates = _rates(trials, of_person, groups, np.ones(people))
    high, low = groups - 1 - int(rates[::-1].argmax()), int(rates.argmin())  # two groups, even if all rates are equal

    def ratios(rates: F64) -> F64:
        to_mean = ratios_to_geometric_mean(rates)
        return np.append(to_mean, to_mean[high] / to_mean[low])

    def resampled(rng: np.random.Generator) -> F64:
        weights = np.bincount(rng.integers(people, size=people), minlength=people).astype(np.float64)
        return ratios(_rates(trials, of_person, groups, weights))

    values = ratios(rates)
    drawn = _drawn(resampled, seed, replicates)
    if (drawn.min(axis=0) == drawn.max(axis=0)).any():
        raise UndefinedRate(message("undefined.core.all_resamples_agree_so"))
    lows, highs = np.quantile(drawn, [0.5 - DEFAULT_CONFIDENCE / 2, 0.5 + DEFAULT_CONFIDENCE / 2], axis=0)
    errors = drawn.std(axis=0, ddof=1)
    found = [
        Bootstrap(float(value), float(low), float(high), DEFAULT_CONFIDENCE, float(error), people, len(drawn))
        for value, low, high, error in zip(values, lows, highs, errors, strict=True)
    ]
    return ByPeople(tuple(found[:-1]), found[-1])


def without_difference(
    trials: GroupTrials, of_person: I64, *, seed: int, permutations: int = 1000
) -> tuple[WithoutDifference, WithoutDifference]:
    """The highest rate to the lowest, and the Gini coefficient, where the labels of people are permuted among them.

    As many people are of each group as before. A permuted group is as mixed as all people together, so that fewer false
    matches fall into it than into groups of people who are alike: for false matches the spread errs to the large side.

    Args:
        trials: of p people, each of whom has one.
        of_person: i64[p], the group of each, from 0, all of the numbers up to the highest.
        seed: of the random draws, at least 0.
        permutations: at least 2.

    Raises `UndefinedRate`: more than one permutation of a hundred leaves no error in any group; `ValueError`: shapes,
    dtypes or ranges differ from the above; `CallEnded`: the caller's ticket is no longer wanted.
    """
    groups = _groups(of_person, trials)
    alike = np.ones(len(of_person))

    def permuted(rng: np.random.Generator) -> F64:
        rates = _rates(trials, rng.permutation(of_person), groups, alike)
        concentration = gini(rates)  # undefined where no group has an error
        return np.array([rates.max() / rates.min() if rates.all() else np.inf, concentration])

    drawn = _drawn(permuted, seed, permutations)
    middle, high = np.quantile(drawn, [0.5, BEYOND_CHANCE], axis=0, method="higher")  # never between a number and inf
    widest, concentration = (
        WithoutDifference(_finite(middle[figure]), _finite(high[figure]), len(drawn)) for figure in (0, 1)
    )
    return widest, concentration


def _rates(trials: GroupTrials, of_person: I64, groups: int, weights: F64) -> F64:
    wrong, total = trials.by_group(of_person, groups, weights)
    if not total.all():
        raise UndefinedRate(message("undefined.core.group_no_trial"))
    return np.asarray(wrong / total, dtype=np.float64)


def _drawn(draw: Callable[[np.random.Generator], F64], seed: int, wanted: int) -> F64:
    """f64[n, k]: the k figures of each draw that gives any."""
    if wanted < 2:
        raise ValueError(f"At least 2 draws are needed, not {wanted}.")
    rng = np.random.default_rng(seed)
    found = []
    for number in range(wanted):
        if number % BLOCK == 0:
            current_ticket().require_wanted()
        with suppress(UndefinedRate):
            found.append(draw(rng))
    if wanted - len(found) > UNDEFINED_ALLOWED * wanted:
        raise UndefinedRate(message("undefined.core.draws", left=wanted - len(found), total=wanted))
    return np.array(found)


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _group_rate(name: str, people: int, count: int, total: int) -> GroupRate:
    if people < MIN_PEOPLE:
        return GroupRate(name, people, total, None, f"Fewer than {MIN_PEOPLE} people are too few for a rate.")
    return GroupRate(name, people, total, rate(count, total), "")


def _groups(of_person: I64, trials: GroupTrials) -> int:
    groups = int(of_person.max(initial=-1)) + 1
    _check_groups(of_person, trials, groups)
    if not np.array_equal(np.unique(of_person), np.arange(groups)):
        raise ValueError("Each person is in a group, and each group has a person.")
    return groups


def _check_rates(rates: F64) -> None:
    if rates.ndim != 1 or rates.dtype != np.float64 or not ((rates >= 0.0) & (rates <= 1.0)).all():
        raise ValueError("Rates are f64[g], each in [0, 1].")
    if len(rates) < 2:
        raise UndefinedRate(message("undefined.core.differential_needs_least_two"))


def _check_groups(of_person: I64, trials: GroupTrials, names: int) -> None:
    if of_person.dtype != np.int64 or of_person.shape != trials.present.shape:
        found = f"{of_person.dtype}{list(of_person.shape)}"
        raise ValueError(f"Groups are i64[p], one for each of {len(trials.present)} people, not {found}.")
    if len(of_person) and not -1 <= of_person.min() <= of_person.max() < names:
        raise ValueError("A group number has no name: they count from 0, in the order of the names.")
