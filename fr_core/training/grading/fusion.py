"""Opinions together: a trainee's with the machine's, and those of several trainees who judged alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.human.fusion import GroupArea, fuse_with_machine, group_area
from fr_core.training.grading.areas import area, scores
from fr_core.training.grading.splitting import by, pairs
from fr_core.training.grading.values import Area, Maybe, Undefined, unless_undefined
from fr_core.training.prompts import ExerciseKind
from fr_core.training.results import Result

LARGEST = 8
"""Crowds hardly gain beyond: VSS 2017 abstract on fusion of examiners, crowds peak near eight people."""

MOST_FORMS = 4
MOST_GROUPS = 100
REPLICATES = 200
LEAST_SHARE = 0.5  # of the items of a form that a trainee rated; one who left early would stand for few items


@dataclass(frozen=True, slots=True)
class CrowdSize:
    """Groups of one size.

    Attributes:
        size: trainees in a group.
        area: mean area under the ROC curve of their averaged ratings, with its interval from resampling items.
    """

    size: int
    area: Maybe[GroupArea]


@dataclass(frozen=True, slots=True)
class CrowdFigures:
    """What averaging independent ratings is worth.

    Attributes:
        form: whose items were rated.
        trainees: who rated at least half of them.
        items: of the form.
        sizes: from 1 to 8, as far as there are trainees.
    """

    form: str
    trainees: int
    items: int
    sizes: tuple[CrowdSize, ...]


@dataclass(frozen=True, slots=True)
class _Table:
    form: str
    ratings: F64  # [people, items], NaN where there is none
    mated: Bools  # [items]


def with_machine(rated: Sequence[Result]) -> Maybe[Area]:
    """The area of the average of ratings and similarities, each as standard scores of these pairs."""
    both = [one for one in rated if one.similarity is not None]
    if not both:
        return Undefined("The machine has compared none of these pairs.")
    ratings = np.array([[one.rating for one in both]], dtype=np.float64)
    similarities = np.array([one.similarity for one in both], dtype=np.float64)
    return unless_undefined(lambda: area(*scores(both, fuse_with_machine(ratings, similarities).tolist())))


def crowds(
    cohort: Mapping[str, Sequence[Result]], seed: int, most_forms: int = MOST_FORMS, least_trainees: int = 2
) -> tuple[CrowdFigures, ...]:
    """Of the forms of plain verification that were rated most, the most rated first.

    Args:
        cohort: results by trainee.
        seed: of the draws of groups and of resamples, at least 0.
        most_forms: at least 1; each takes up to a second.
        least_trainees: who must have rated a form.
    """
    rated = [one for results in cohort.values() for one in pairs(results) if one.exercise == ExerciseKind.VERIFICATION]
    tables = [table for form, some in by(rated, lambda one: one.form).items() if (table := _table(form, some))]
    tables = [one for one in tables if len(one.ratings) >= least_trainees]
    tables.sort(key=lambda one: (-int((~np.isnan(one.ratings)).sum()), one.form))
    return tuple(_crowd(table, np.random.default_rng([seed, 4])) for table in tables[:most_forms])


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
    return _Table(form, ratings[enough], mated) if enough.any() else None


def _crowd(table: _Table, rng: np.random.Generator) -> CrowdFigures:
    people = len(table.ratings)

    def of_size(size: int) -> Maybe[GroupArea]:
        return unless_undefined(
            lambda: group_area(table.ratings, table.mated, size, rng, most_groups=MOST_GROUPS, replicates=REPLICATES)
        )

    sizes = tuple(CrowdSize(size, of_size(size)) for size in range(1, min(LARGEST, people) + 1))
    return CrowdFigures(table.form, people, len(table.mated), sizes)
