"""What the answers to courses say of their items, put together: how hard each is, and which no course should show.

Only answers count that nothing but the photos moves, as in `items`: advice and rarity tell of themselves. An ability is
measured within a course, on the difficulties of that course; the same item in several courses is one item here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import atanh, sqrt

import numpy as np

from fr_core.scoring.intervals import DEFAULT_CONFIDENCE
from fr_training.courses import ByPeople, Learned
from fr_training.grading.items import COUNTED, GUESSING, misleads
from fr_training.grading.splitting import by, judged
from fr_training.results import Result
from fr_training.statistics.item_analysis import (
    MIN_PEOPLE,
    NOTHING,
    ItemFigures,
    expected_difficulty,
    item_figures,
)
from fr_training.statistics.item_response import eap
from fr_training.statistics.normal import z_of


def learned(courses: Iterable[Mapping[str, Sequence[Result]]]) -> Learned:
    """Put together what courses say of their items.

    An item has a difficulty where at least `MIN_PEOPLE` people answered it, in all courses together: the expected one,
    given their abilities, under a standard normal prior, which is how difficulties of a class lie. The likeliest one is
    infinite where all are right, and many logits too great where few are right more often than by guessing: one such
    item would keep forms from being equally hard.

    An item is suspect where as many people answered it and its correlation with their other answers, in its form, is
    negative beyond chance: its 95 % interval lies below 0. Over several courses it is the mean of Fisher's z of each,
    weighted by people - 3 (R. A. Fisher, "Statistical Methods for Research Workers" (1925), section 35). An item is
    suspect as well where fewer of so many people are right than guessing makes (`items.misleads`): a wrong key that
    the able and others follow alike leaves the correlation near 0.

    Args:
        courses: of each course the results of the trainees of all its cohorts; each course once.
    """
    answers: dict[str, list[tuple[float, bool, float]]] = {}
    figures: dict[str, list[ItemFigures]] = {}
    shown: dict[str, list[Result]] = {}
    for course in courses:
        counted = {trainee: _counted(results) for trainee, results in course.items()}
        for results in counted.values():
            theta = _ability(results)
            for one in results:
                answers.setdefault(one.item_id, []).append((theta, one.correct is True, GUESSING[one.exercise]))
                shown.setdefault(one.item_id, []).append(one)
        for form in by((one for results in counted.values() for one in results), lambda one: one.form).values():
            for item_id, figure in _figures(form):
                figures.setdefault(item_id, []).append(figure)
    return Learned(
        difficulties={
            item_id: ByPeople(_difficulty(given), len(given))
            for item_id, given in answers.items()
            if len(given) >= MIN_PEOPLE
        },
        suspects=frozenset(
            item_id for item_id, found in figures.items() if _misleads(found) or misleads(shown[item_id])
        ),
    )


def _counted(results: Sequence[Result]) -> list[Result]:
    return [one for one in judged(results) if one.exercise in COUNTED and one.b is not None]


def _ability(counted: Sequence[Result]) -> float:
    """Of a trainee; 0, the mean of the prior, without an answer."""
    b = np.array([one.b for one in counted], dtype=np.float64)
    right = np.array([one.correct is True for one in counted], dtype=np.bool_)
    return eap(b, right, np.array([GUESSING[one.exercise] for one in counted], dtype=np.float64)).theta


def _difficulty(answers: Sequence[tuple[float, bool, float]]) -> float:
    """From abilities, whether each was right, and the chance of guessing, which is one for an item."""
    abilities = np.array([ability for ability, _, _ in answers], dtype=np.float64)
    right = np.array([correct for _, correct, _ in answers], dtype=np.bool_)
    return expected_difficulty(abilities, right, answers[0][2]).b


def _figures(form: Sequence[Result]) -> list[tuple[str, ItemFigures]]:
    """Items of a form by their ids, as the trainees of one course answered them."""
    items = {item_id: number for number, item_id in enumerate(dict.fromkeys(one.item_id for one in form))}
    people = {trainee: number for number, trainee in enumerate(dict.fromkeys(one.trainee_id for one in form))}
    answers = np.full((len(people), len(items)), np.nan)
    for one in form:
        answers[people[one.trainee_id], items[one.item_id]] = float(one.correct is True)
    return list(zip(items, item_figures(answers), strict=True))


def _misleads(found: Sequence[ItemFigures]) -> bool:
    """Whether the able get an item wrong more often than others do."""
    told = [(one.people, one.correlation) for one in found if one.correlation is not None]
    if sum(people for people, _ in told) < MIN_PEOPLE:
        return False
    most, weight = 1.0 - NOTHING, sum(people - 3 for people, _ in told)
    mean = sum((people - 3) * atanh(min(max(r, -most), most)) for people, r in told) / weight
    return mean + z_of(0.5 + DEFAULT_CONFIDENCE / 2) / sqrt(weight) < 0.0
