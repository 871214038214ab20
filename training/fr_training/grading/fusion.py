"""Averages opinions: a trainee's with the machine's, and those of several trainees who judged alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np

from fr_core.scoring.auc import auc
from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import message
from fr_training.grading.rates import area, scores
from fr_training.grading.values import Area, Maybe, Undefined, first_of_items, grouped, pairs, unless_undefined
from fr_training.prompts import ExerciseKind
from fr_training.statistics.clustered import mean_of_people
from fr_training.statistics.estimates import Estimate, Z
from fr_training.statistics.fusion import GroupArea, fuse_with_machine, group_area
from fr_training.trials import Result

LARGEST = 8  # crowds hardly gain beyond: VSS 2017 abstract on fusion of examiners, crowds peak near eight people

MOST_FORMS = 4
MOST_GROUPS = 100
MOST_COUPLES = 500
REPLICATES = 200
LEAST_SHARE = 0.5  # of the items of a form that a trainee rated; one who left early would stand for few items


@dataclass(frozen=True, slots=True)
class CrowdSize:
    """Groups of one size."""

    size: int  # trainees in a group
    # Mean area under the ROC curve of their averaged ratings, with its interval from resampling items.
    area: Maybe[GroupArea]


@dataclass(frozen=True, slots=True)
class CrowdFigures:
    """The gain of averaging independent ratings."""

    form: str  # whose items were rated
    trainees: int  # who rated at least half of them
    items: int  # of the form
    sizes: tuple[CrowdSize, ...]  # from 1 to 8, as far as there are trainees


@dataclass(frozen=True, slots=True)
class Couple:
    """Two trainees whose opinions go well together."""

    first: str  # pseudonym
    second: str
    apart: float  # difference of their abilities by ratings, logits, at least 0
    better: float  # area of the better of both alone, of the pairs that both rated
    together: float  # area of the average of both


@dataclass(frozen=True, slots=True)
class PairingFigures:
    """The people to pair for second opinions: those of like ability."""

    form: str  # whose pairs say what that brings
    couples: tuple[Couple, ...]  # the ablest first; of an odd number the one in the middle is left to any couple
    # Mean over these couples of the area together less that of the better of both.
    gain: Maybe[Estimate]
    # The same mean over all couples that there are, or MOST_COUPLES of them; None where none can be compared.
    any_gain: float | None


@dataclass(frozen=True, slots=True)
class _Table:
    form: str
    people: tuple[str, ...]  # pseudonyms
    ratings: F64  # [people, items], NaN where there is none
    mated: Bools  # [items]


def with_machine(rated: Sequence[Result]) -> Maybe[Area]:
    """The area of the average of ratings and similarities, each as standard scores of these pairs.

    It has no interval where several trainees judged a pair: the machine's half of these answers is one opinion.
    """
    both = [one for one in rated if one.similarity is not None]
    if not both:
        return Undefined(message("undefined.not_compared"))
    ratings = np.array([[one.rating for one in both]], dtype=np.float64)
    similarities = np.array([one.similarity for one in both], dtype=np.float64)
    found = unless_undefined(lambda: area(*scores(both, fuse_with_machine(ratings, similarities).tolist())))
    if isinstance(found, Area) and len(first_of_items(both)) < len(both):
        return Area(found.value, Undefined(message("undefined.shared_similarity")))
    return found


def with_machine_gain(rated: Sequence[Result]) -> Maybe[Estimate]:
    """The area of both together less the larger of the two alone, of the same pairs, with DeLong's interval.

    Source of the variance: E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, "Comparing the areas under two or more
    correlated receiver operating characteristic curves: a nonparametric approach", Biometrics 44 (1988) 837-845. The
    better one is chosen after the fact, which makes the gain look smaller, never larger.
    """
    both = [one for one in rated if one.similarity is not None]
    if not both:
        return Undefined(message("undefined.not_compared"))
    if len({one.trainee_id for one in both}) > 1:
        return Undefined(message("undefined.gain_of_several"))
    ratings = [float(one.rating or 0) for one in both]
    similarities = [one.similarity or 0.0 for one in both]

    def of() -> Estimate:
        fused = fuse_with_machine(np.array([ratings]), np.array(similarities)).tolist()
        alone = max((ratings, similarities), key=lambda values: _placements(both, values)[0].mean())
        won, lost = (
            together - single
            for together, single in zip(_placements(both, fused), _placements(both, alone), strict=True)
        )
        if len(won) < 2 or len(lost) < 2:
            raise UndefinedRate(message("undefined.gain_needs_pairs"))
        value = float(won.mean())
        error = sqrt(float(won.var(ddof=1)) / len(won) + float(lost.var(ddof=1)) / len(lost))
        if error == 0.0:
            raise UndefinedRate(message("undefined.gain_unsure"))
        return Estimate(value, error, value - Z * error, value + Z * error)

    return unless_undefined(of)


def _placements(rated: Sequence[Result], values: Sequence[float]) -> tuple[F64, F64]:
    """f64[n], f64[m]: the share of couples that each pair of one person wins, and that each of two people loses."""
    same, different = scores(rated, values)
    if not len(same) or not len(different):
        raise UndefinedRate(message("undefined.curve"))
    ahead = same[:, None] - different[None, :]
    won = (ahead > 0.0) + 0.5 * (ahead == 0.0)
    return won.mean(axis=1), won.mean(axis=0)


def crowds(
    cohort: Mapping[str, Sequence[Result]], seed: int, most_forms: int = MOST_FORMS, least_trainees: int = 2
) -> tuple[CrowdFigures, ...]:
    """Compute crowds on the forms of plain verification, the most rated first; adaptive blocks show each other items.

    Args:
        cohort: results by trainee.
        seed: of the draws of groups and of resamples, at least 0.
        most_forms: each takes up to a second.
        least_trainees: who must have rated a form.
    """
    tables = [one for one in _tables(cohort) if len(one.ratings) >= least_trainees]
    return tuple(_crowd(table, np.random.default_rng([seed, 4])) for table in tables[:most_forms])


def pairing(cohort: Mapping[str, Sequence[Result]], abilities: Mapping[str, float]) -> Maybe[PairingFigures]:
    """Pair trainees of like ability: an average helps most where neither is much better than the other.

    Source of the rule: "proximal accuracy", arXiv 2510.02570 (2025). Abilities are those of all ratings; the gain is of
    the form that most trainees rated, and so partly of the same answers.

    Args:
        cohort: results by trainee.
        abilities: by trainee, of those who have one.
    """
    table = next(iter(_tables(cohort)), None)
    able = [] if table is None else sorted((one for one in table.people if one in abilities), key=abilities.__getitem__)
    if table is None or len(able) < 2:
        return Undefined(message("none.couples"))
    able.reverse()
    middle = able.pop(len(able) // 2) if len(able) % 2 else None
    chosen = _couples(table, [(able[n], able[n + 1]) for n in range(0, len(able), 2)], abilities)
    everybody = able if middle is None else [*able, middle]
    every = list(combinations(everybody, 2))
    all_couples = _couples(table, every[:: -(-len(every) // MOST_COUPLES)], abilities)
    gains = np.array([one.together - one.better for one in chosen], dtype=np.float64)
    return PairingFigures(
        form=table.form,
        couples=tuple(chosen),
        gain=unless_undefined(lambda: mean_of_people(gains)),
        any_gain=float(np.mean([one.together - one.better for one in all_couples])) if all_couples else None,
    )


def _couples(table: _Table, names: Iterable[tuple[str, str]], abilities: Mapping[str, float]) -> list[Couple]:
    """The couples who rated some of the same pairs of both kinds."""
    found = []
    for first, second in names:
        own, other = (table.ratings[table.people.index(name)] for name in (first, second))
        both = ~np.isnan(own) & ~np.isnan(other)
        same, different = both & table.mated, both & ~table.mated
        if same.any() and different.any():
            alone, partner, together = (auc(one[same], one[different]) for one in (own, other, (own + other) / 2))
            apart = abs(abilities[first] - abilities[second])
            found.append(Couple(first, second, apart, max(alone, partner), together))
    return found


def _tables(cohort: Mapping[str, Sequence[Result]]) -> list[_Table]:
    """The ratings of each form of plain verification that no block chose, the most rated first."""
    rated = [
        one
        for results in cohort.values()
        for one in pairs(results)
        if one.exercise == ExerciseKind.VERIFICATION and not one.adaptive
    ]
    tables = [table for form, some in grouped(rated, lambda one: one.form).items() if (table := _table(form, some))]
    return sorted(tables, key=lambda one: (-int((~np.isnan(one.ratings)).sum()), one.form))


def _table(form: str, rated: Sequence[Result]) -> _Table | None:
    items = {one.item_id: number for number, one in enumerate({one.item_id: one for one in rated}.values())}
    people = {trainee: number for number, trainee in enumerate(dict.fromkeys(one.trainee_id for one in rated))}
    ratings = np.full((len(people), len(items)), np.nan)
    mated = np.zeros(len(items), dtype=np.bool_)
    for one in rated:
        ratings[people[one.trainee_id], items[one.item_id]] = one.rating
        mated[items[one.item_id]] = one.truth == "same"
    given = ~np.isnan(ratings)
    enough = given.mean(axis=1) >= LEAST_SHARE
    enough &= (given[:, mated].sum(axis=1) >= 2) & (given[:, ~mated].sum(axis=1) >= 2)
    names = tuple(name for name, number in people.items() if enough[number])
    return _Table(form, names, ratings[enough], mated) if names else None


def _crowd(table: _Table, rng: np.random.Generator) -> CrowdFigures:
    people = len(table.ratings)

    def of_size(size: int) -> Maybe[GroupArea]:
        return unless_undefined(
            lambda: group_area(table.ratings, table.mated, size, rng, most_groups=MOST_GROUPS, replicates=REPLICATES)
        )

    sizes = tuple(CrowdSize(size, of_size(size)) for size in range(1, min(LARGEST, people) + 1))
    return CrowdFigures(table.form, people, len(table.mated), sizes)
