"""Grades blind verification: finds partners, measures their agreement and how good their average is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fr_core.scoring.intervals import Rate
from fr_core.types import I64
from fr_locales.messages import message
from fr_training.answers import RATINGS
from fr_training.grading.rates import area, scores
from fr_training.grading.values import Area, Maybe, Undefined, pairs, share, unless_undefined
from fr_training.prompts import ExerciseKind
from fr_training.statistics.agreement import kappa, mcnemar
from fr_training.statistics.estimates import Estimate
from fr_training.trials import Result


@dataclass(frozen=True, slots=True)
class AgreementFigures:
    """The figures of pairs that two trainees judged, neither of whom saw the other's answer."""

    pairs: int  # judged by both
    alone: int  # pairs of the block that nobody else had judged
    same_word: Maybe[Rate]  # share on which both gave the same word
    linear_kappa: Maybe[Estimate]  # agreement of the ratings beyond chance, by their distance; 1 is full
    quadratic_kappa: Maybe[Estimate]  # likewise, by its square
    own_only: int  # pairs that the verifier alone had right
    first_only: int  # pairs that the first trainee alone had right
    p_value: Maybe[float]  # of as unequal numbers by chance (McNemar, exact, two-sided)
    own_area: Maybe[Area]  # area under the ROC curve of the verifier's ratings
    first_area: Maybe[Area]  # of the first trainee's ratings
    fused_area: Maybe[Area]  # of the average of both


Rated = Mapping[tuple[str, str, str], Result]  # trainee, form and item -> the first judgement of a pair


def first_judgements(cohort: Mapping[str, Sequence[Result]]) -> Rated:
    """The judgements that may be verified: rated pairs of every trainee that do not verify another."""
    return {
        (trainee, one.form, one.item_id): one
        for trainee, results in cohort.items()
        for one in pairs(results)
        if one.exercise == ExerciseKind.VERIFICATION
    }


def agreement_figures(results: Sequence[Result], first: Rated) -> Maybe[AgreementFigures]:
    """Compute the figures of the blind verifications of some verifiers; undefined where there is none."""
    verified = [one for one in pairs(results) if one.exercise == ExerciseKind.BLIND]
    if not verified:
        return Undefined(message("none.blind"))
    couples = [
        (one, other) for one in verified if (other := first.get((one.partner, one.form, one.item_id))) is not None
    ]
    own, others = [one for one, _ in couples], [other for _, other in couples]
    own_only = sum(one.correct is True and other.correct is not True for one, other in couples)
    first_only = sum(other.correct is True and one.correct is not True for one, other in couples)
    fused = [float((one.rating or 0) + (other.rating or 0)) / 2 for one, other in couples]
    return AgreementFigures(
        pairs=len(couples),
        alone=len(verified) - len(couples),
        same_word=share(
            sum(one.answer == other.answer for one, other in couples), len(couples), message("none.judged_by_both")
        ),
        linear_kappa=unless_undefined(lambda: kappa(_ratings(own), _ratings(others), RATINGS, 1)),
        quadratic_kappa=unless_undefined(lambda: kappa(_ratings(own), _ratings(others), RATINGS, 2)),
        own_only=own_only,
        first_only=first_only,
        p_value=unless_undefined(lambda: mcnemar(own_only, first_only)),
        own_area=_area(own, [float(one.rating or 0) for one in own]),
        first_area=_area(own, [float(one.rating or 0) for one in others]),
        fused_area=_area(own, fused),
    )


def _ratings(rated: Sequence[Result]) -> I64:
    return np.array([one.rating or 0 for one in rated], dtype=np.int64)


def _area(rated: Sequence[Result], values: Sequence[float]) -> Maybe[Area]:
    return unless_undefined(lambda: area(*scores(rated, values)))


def with_partners(cohort: Mapping[str, Sequence[Result]]) -> dict[str, tuple[Result, ...]]:
    """Name the partner of each blind verification: of those who have judged its pair, the next by number.

    Trainees 0 and 1, 2 and 3 and so on are of different halves and verify each other, where both have judged; a trainee
    without such a partner gets the next who has judged. A pair that nobody has judged yet keeps "" for its partner. The
    cohort is in the order of the trainees' numbers.
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
