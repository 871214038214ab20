"""Analyses items: of a cohort, and what several courses together teach about difficulty and wrong keys.

Only answers that nothing but the photos moves count: advice and rarity would show their own effect. An ability is
measured within a course, on the difficulties of that course; the same item in several courses is one item here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import atanh, sqrt

import numpy as np

from fr_core.scoring.intervals import Rate
from fr_locales.messages import message
from fr_training.courses import ByPeople, Learned
from fr_training.grading.kinds import CHANCE
from fr_training.grading.values import PLAIN_PAIRS, Maybe, Undefined, grouped, judged, unless_undefined
from fr_training.plan import PAIRS
from fr_training.prompts import ExerciseKind
from fr_training.statistics import item_analysis
from fr_training.statistics.estimates import Z
from fr_training.statistics.item_response import eap, update_difficulty
from fr_training.trials import Result

GUESSING: Mapping[ExerciseKind, float] = {**dict.fromkeys(PAIRS, 0.5), ExerciseKind.TRIAD: CHANCE}
"""Chance of guessing right, of the exercises whose answers give an ability."""

COUNTED = PLAIN_PAIRS | {ExerciseKind.TRIAD}
"""Exercises whose answers say how hard an item is, and whether its key is right."""


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item, as trainees answered it."""

    form: str  # that it is of
    item_id: str  # in the form
    exercise: str  # what was done with it
    truth: str  # what is right, in the words of `Result`
    b: float | None  # difficulty by the machine, standard deviations; None where it has none
    people: int  # who answered it and another item of the form
    known_to_me: int  # trainees who know somebody shown; in no other figure
    right: Maybe[Rate]  # share of right answers
    # Of right answers with the share of right answers to the other items of the form, in [-1, 1].
    correlation: Maybe[float]
    low: float | None  # lower end of its 95 % interval; None where it is undefined
    high: float | None  # upper end, likewise
    human_b: Maybe[item_analysis.Difficulty]  # difficulty by the answers, logits
    updated_b: Maybe[float]  # both together, the machine's counted as ten people (b of the next forms)
    # Whether, of 20 people or more, the correlation is negative beyond chance, or fewer are right than guessing makes,
    # beyond chance: look at it before it is used again.
    quarantined: bool


def item_rows(cohort: Mapping[str, Sequence[Result]]) -> tuple[ItemRow, ...]:
    """Every item of known truth that somebody was shown, by form and item."""
    abilities = {trainee: _theta(counted) for trainee, results in cohort.items() if (counted := _counted(results))}
    shown = [one for results in cohort.values() for one in results if one.truth]
    rows: list[ItemRow] = []
    by_form = sorted(grouped(shown, lambda one: (one.form, one.exercise == ExerciseKind.OWN_PROBE)).items())
    for _, results in by_form:
        items = dict(sorted(grouped(results, lambda one: one.item_id).items()))
        rows += [_row(items[item], figure, abilities) for item, figure in _figures(results, items).items()]
    return tuple(rows)


def _figures(results: Sequence[Result], items: Iterable[str]) -> dict[str, item_analysis.ItemFigures]:
    """The figures of items of a form, in their order, as the trainees of one course answered them."""
    place = {item_id: number for number, item_id in enumerate(items)}
    people = {trainee: number for number, trainee in enumerate(dict.fromkeys(one.trainee_id for one in results))}
    answers = np.full((len(people), len(place)), np.nan)
    for one in judged(results):
        answers[people[one.trainee_id], place[one.item_id]] = float(one.correct is True)
    return dict(zip(place, item_analysis.item_figures(answers), strict=True))


def misleads(answers: Sequence[Result]) -> bool:
    """True if fewer trainees have an item right than by guessing, beyond chance; never for an item that advice moves.

    Args:
        answers: judged, to one item.
    """
    counted = [one for one in answers if one.exercise in COUNTED]
    right, wrong = (sum(one.correct is good for one in counted) for good in (True, False))
    return bool(counted) and item_analysis.below_guessing(right, wrong, GUESSING[counted[0].exercise])


def _row(shown: Sequence[Result], figure: item_analysis.ItemFigures, abilities: Mapping[str, float]) -> ItemRow:
    one = shown[0]
    human = _human_difficulty(shown, abilities)
    updated: Maybe[float] = Undefined(message("undefined.machine_difficulty"))
    if isinstance(human, Undefined):
        updated = human
    elif one.b is not None:
        updated = update_difficulty(one.b, human.b, human.people)
    return ItemRow(
        form=one.form,
        item_id=one.item_id,
        exercise=one.exercise.value,
        truth=one.truth,
        b=one.b,
        people=figure.people,
        known_to_me=sum(other.known_to_me for other in shown),
        right=figure.right or Undefined(message("none.answers_to_item")),
        correlation=Undefined(figure.note) if figure.correlation is None else figure.correlation,
        low=figure.low,
        high=figure.high,
        human_b=human,
        updated_b=updated,
        quarantined=_misleads_the_able(figure) or misleads(judged(shown)),
    )


def _misleads_the_able(figure: item_analysis.ItemFigures) -> bool:
    """True for a correlation whose interval lies below 0; of 25 people one sound item in four is negative by chance."""
    return figure.high is not None and figure.high < 0.0 and figure.people >= item_analysis.MIN_PEOPLE


def _human_difficulty(shown: Sequence[Result], abilities: Mapping[str, float]) -> Maybe[item_analysis.Difficulty]:
    guessing = GUESSING.get(shown[0].exercise)
    if guessing is None:
        return Undefined(message("undefined.kind_without_difficulty"))
    known = [one for one in judged(shown) if one.trainee_id in abilities]
    if len(known) < item_analysis.MIN_PEOPLE:
        return Undefined(message("undefined.few_for_difficulty", least=item_analysis.MIN_PEOPLE))
    thetas = np.array([abilities[one.trainee_id] for one in known], dtype=np.float64)
    right = np.array([one.correct is True for one in known], dtype=np.bool_)
    return unless_undefined(lambda: item_analysis.human_difficulty(thetas, right, guessing))


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
    figures: dict[str, list[item_analysis.ItemFigures]] = {}
    shown: dict[str, list[Result]] = {}
    for course in courses:
        counted = {trainee: _counted(results) for trainee, results in course.items()}
        for results in counted.values():
            theta = _theta(results)
            for one in results:
                answers.setdefault(one.item_id, []).append((theta, one.correct is True, GUESSING[one.exercise]))
                shown.setdefault(one.item_id, []).append(one)
        for form in grouped((one for results in counted.values() for one in results), lambda one: one.form).values():
            for item_id, figure in _figures(form, dict.fromkeys(one.item_id for one in form)).items():
                figures.setdefault(item_id, []).append(figure)
    return Learned(
        difficulties={
            item_id: ByPeople(_difficulty(given), len(given))
            for item_id, given in answers.items()
            if len(given) >= item_analysis.MIN_PEOPLE
        },
        suspects=frozenset(
            item_id for item_id, found in figures.items() if _misleads_in_courses(found) or misleads(shown[item_id])
        ),
    )


def _counted(results: Sequence[Result]) -> list[Result]:
    return [one for one in judged(results) if one.exercise in COUNTED and one.b is not None]


def _theta(counted: Sequence[Result]) -> float:
    """The ability of a trainee; 0, the mean of the prior, without an answer."""
    b = np.array([one.b for one in counted], dtype=np.float64)
    right = np.array([one.correct is True for one in counted], dtype=np.bool_)
    return eap(b, right, np.array([GUESSING[one.exercise] for one in counted], dtype=np.float64)).theta


def _difficulty(answers: Sequence[tuple[float, bool, float]]) -> float:
    """The difficulty from abilities, right or wrong answers, and the chance of guessing, the same for all of them.

    In the model, ability and difficulty differ by their sign alone.
    """
    abilities = np.array([ability for ability, _, _ in answers], dtype=np.float64)
    right = np.array([correct for _, correct, _ in answers], dtype=np.bool_)
    return -eap(-abilities, right, answers[0][2]).theta


def _misleads_in_courses(found: Sequence[item_analysis.ItemFigures]) -> bool:
    """True if the able get an item wrong more often than others do."""
    told = [(one.people, one.correlation) for one in found if one.correlation is not None]
    if sum(people for people, _ in told) < item_analysis.MIN_PEOPLE:
        return False
    most, weight = 1.0 - item_analysis.NOTHING, sum(people - 3 for people, _ in told)
    mean = sum((people - 3) * atanh(min(max(r, -most), most)) for people, r in told) / weight
    return mean + Z / sqrt(weight) < 0.0
