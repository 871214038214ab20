"""Whose trial a blind verification verifies: a partner of the other half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fr_training.grading.agreeing import first_judgements
from fr_training.prompts import ExerciseKind
from fr_training.results import Result


def with_partners(cohort: Mapping[str, Sequence[Result]]) -> dict[str, tuple[Result, ...]]:
    """Name the partner of each blind verification: of those who have judged its pair, the next by number.

    Trainees 0 and 1, 2 and 3 and so on are of different halves and verify each other, where both have judged; who has
    no such partner gets the next who has. A pair that nobody has judged yet keeps "" for its partner.

    Args:
        cohort: the results of each trainee, in the order of their numbers.
    """
    places = {trainee: place for place, trainee in enumerate(cohort)}
    judges: dict[tuple[str, str], list[int]] = {}
    for trainee, form, item_id in first_judgements(cohort):
        judges.setdefault((form, item_id), []).append(places[trainee])
    names = list(cohort)

    def partner(own: int, result: Result) -> str:
        others = [place for place in judges.get((result.form, result.item_id), ()) if place != own]
        if not others:
            return ""
        return names[min(others, key=lambda place: (place != own ^ 1, (place - own) % len(names)))]

    return {
        trainee: tuple(
            replace(one, partner=partner(places[trainee], one)) if one.exercise == ExerciseKind.BLIND else one
            for one in results
        )
        for trainee, results in cohort.items()
    }
