"""Items, as a cohort answered them: how hard each is, which tell the able from others, which are to be set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import Rate
from fr_training.grading.splitting import UNMOVED, by, judged
from fr_training.grading.triads import CHANCE
from fr_training.grading.values import Maybe, Undefined, unless_undefined
from fr_training.plan import PAIRS
from fr_training.prompts import ExerciseKind
from fr_training.results import Result
from fr_training.statistics.item_analysis import (
    MIN_PEOPLE,
    Difficulty,
    ItemFigures,
    below_guessing,
    human_difficulty,
    item_figures,
    quarantine,
)
from fr_training.statistics.item_response import eap, update_difficulty

GUESSING: Mapping[ExerciseKind, float] = {**dict.fromkeys(PAIRS, 0.5), ExerciseKind.TRIAD: CHANCE}
"""Chance of guessing right, of the exercises whose answers give an ability."""


COUNTED = UNMOVED | {ExerciseKind.TRIAD}
"""Exercises whose answers say how hard an item is, and whether its key is right."""


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item, as trainees answered it.

    Attributes:
        form: that it is of.
        item_id: in the form.
        exercise: what was done with it.
        truth: what is right, in the words of `Result`.
        b: difficulty by the machine, standard deviations; None where it has none.
        people: who answered it and another item of the form.
        known_to_me: trainees who know somebody shown; in no other figure.
        right: share of right answers.
        correlation: of right answers with the share of right answers to the other items of the form, in [-1, 1].
        low: lower end of its 95 % interval; None where it is undefined.
        high: upper end, likewise.
        human_b: difficulty by the answers, logits.
        updated_b: both together, the machine's counted as ten people (b of the next forms).
        quarantined: whether, of 20 people or more, the correlation is negative beyond chance, or fewer are right than
            guessing makes, beyond chance: look at it before it is used again.
    """

    form: str
    item_id: str
    exercise: str
    truth: str
    b: float | None
    people: int
    known_to_me: int
    right: Maybe[Rate]
    correlation: Maybe[float]
    low: float | None
    high: float | None
    human_b: Maybe[Difficulty]
    updated_b: Maybe[float]
    quarantined: bool


def item_rows(cohort: Mapping[str, Sequence[Result]]) -> tuple[ItemRow, ...]:
    """Every item of known truth that somebody was shown, by form and item."""
    abilities = {trainee: ability for trainee, results in cohort.items() if (ability := _ability(results)) is not None}
    shown = [one for results in cohort.values() for one in results if one.truth]
    rows: list[ItemRow] = []
    for _, results in sorted(by(shown, lambda one: (one.form, one.exercise == ExerciseKind.OWN_PROBE)).items()):
        rows += _rows_of_form(results, abilities)
    return tuple(rows)


def _rows_of_form(results: Sequence[Result], abilities: Mapping[str, float]) -> list[ItemRow]:
    shown = sorted(by(results, lambda one: one.item_id).items())
    place = {item: number for number, (item, _) in enumerate(shown)}
    people = {trainee: number for number, trainee in enumerate(dict.fromkeys(one.trainee_id for one in results))}
    answers = np.full((len(people), len(place)), np.nan)
    for one in judged(results):
        answers[people[one.trainee_id], place[one.item_id]] = float(one.correct is True)
    figures = item_figures(answers)
    aside = set(quarantine(figures))
    return [
        _row(some, figure, figure.item in aside or misleads(judged(some)), abilities)
        for (_, some), figure in zip(shown, figures, strict=True)
    ]


def misleads(answers: Sequence[Result]) -> bool:
    """Whether fewer trainees have an item right than guessing makes, beyond chance; an item that advice moves does not.

    Args:
        answers: judged, to one item.
    """
    counted = [one for one in answers if one.exercise in COUNTED]
    right, wrong = (sum(one.correct is good for one in counted) for good in (True, False))
    return bool(counted) and below_guessing(right, wrong, GUESSING[counted[0].exercise])


def _row(shown: Sequence[Result], figure: ItemFigures, quarantined: bool, abilities: Mapping[str, float]) -> ItemRow:
    one = shown[0]
    human = _human_difficulty(shown, abilities)
    updated: Maybe[float] = Undefined("The machine gives this item no difficulty.")
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
        right=figure.right or Undefined("Nobody has answered it."),
        correlation=Undefined(figure.note) if figure.correlation is None else figure.correlation,
        low=figure.low,
        high=figure.high,
        human_b=human,
        updated_b=updated,
        quarantined=quarantined,
    )


def _human_difficulty(shown: Sequence[Result], abilities: Mapping[str, float]) -> Maybe[Difficulty]:
    guessing = GUESSING.get(shown[0].exercise)
    if guessing is None:
        return Undefined("Only pairs and triads have a difficulty by answers.")
    known = [one for one in judged(shown) if one.trainee_id in abilities]
    if len(known) < MIN_PEOPLE:
        return Undefined(f"Fewer than {MIN_PEOPLE} trainees are too few for a difficulty.")
    thetas = np.array([abilities[one.trainee_id] for one in known], dtype=np.float64)
    right = np.array([one.correct is True for one in known], dtype=np.bool_)
    return unless_undefined(lambda: human_difficulty(thetas, right, guessing))


def _ability(results: Sequence[Result]) -> float | None:
    """Of a trainee, from all triads and pairs in which nothing but the photos moves; None where there is none."""
    used = [one for one in judged(results) if one.b is not None and one.exercise in COUNTED]
    if not used:
        return None
    right: list[bool] = [one.correct is True for one in used]
    guessing: F64 = np.array([GUESSING[one.exercise] for one in used], dtype=np.float64)
    return eap(np.array([one.b for one in used], dtype=np.float64), np.array(right, dtype=np.bool_), guessing).theta
