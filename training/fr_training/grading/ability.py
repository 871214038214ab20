"""Computes ability from all that a trainee's ratings say, and what each rating is worth as evidence by that model.

Unlike right and wrong answers, ratings say how sure somebody was, and the model knows how hard each pair was. So pairs
of adaptive blocks count here, as they do in no other figure. The first rating of an aided pair counts, which no advice
has moved; pairs of blocks where two people are rare do not, as they move the criterion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fr_locales.messages import message
from fr_training.grading.values import PLAIN_PAIRS, Maybe, Undefined, pairs, unless_undefined
from fr_training.prompts import ExerciseKind
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.graded import UNKNOWN_PEOPLE, Graded, Prior, Weight, posterior, weights_of
from fr_training.statistics.graded_class import ClassFound, of_class
from fr_training.statistics.ordered_probit import Rated
from fr_training.trials import Result

LEAST = 10  # rated pairs below which there is no ability: the interval would be that of people nobody has seen
LEAST_CLASS = 5  # trainees with an ability below whom a class teaches nothing about each: who is who would be plain


@dataclass(frozen=True, slots=True)
class AbilityFigures:
    """The ability of one trainee, as the ratings show it."""

    pairs: int  # that count
    trainees: int  # whose answers taught what to expect of people, this one included; 0 where there are too few
    theta: Estimate  # ability, logits; 0 is the mean difficulty of the pairs, mean and SD of the posterior
    criterion: Estimate  # c, in standard deviations of the evidence, likewise; above 0 says "different" more readily
    scale: Estimate  # above 1 keeps sure ratings for stronger evidence than most people do
    # Correlation of the machine's difficulties with those for people, as far as the class tells; its uncertainty is
    # part of all intervals.
    difficulty: float
    # Likelihood ratio of each rating by the model, from 3 to -3, on these very pairs. It assumes that evidence is
    # normal in the tails; the words of a report go by counts, which assume nothing.
    weights: Maybe[tuple[Weight, ...]]


def rated_of(results: Sequence[Result]) -> tuple[Rated, ...]:
    """The ratings of a trainee that count, of pairs with a difficulty."""
    found = []
    for one in pairs(results):
        rating = one.rating_before if one.exercise == ExerciseKind.AIDED else one.rating
        counts = one.exercise in PLAIN_PAIRS or one.exercise == ExerciseKind.AIDED
        if counts and rating is not None and one.b is not None:
            found.append(Rated(one.truth == "same", one.b, rating))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class ClassAbilities:
    """The prior of a class, and the abilities of its trainees; a small class has none."""

    prior: Prior
    trainees: int  # whose answers taught it
    known: Mapping[str, Graded]  # the posterior of each of them


def class_abilities(cohort: Mapping[str, Sequence[Result]]) -> ClassAbilities:
    """Learn from a class what its people are like, and estimate each of them."""
    rated = {name: some for name, results in cohort.items() if len(some := rated_of(results)) >= LEAST}
    if len(rated) < LEAST_CLASS:
        return ClassAbilities(UNKNOWN_PEOPLE, 0, {})
    found = _learned(tuple(rated.values()))
    return ClassAbilities(found.prior, len(rated), dict(zip(rated, found.people, strict=True)))


@lru_cache(maxsize=8)  # every page and export of a class, and of each of its trainees, asks for this again
def _learned(answers: tuple[tuple[Rated, ...], ...]) -> ClassFound:
    return of_class(answers)


def theta_of(results: Sequence[Result], taught: ClassAbilities) -> Maybe[Estimate]:
    """The ability alone."""
    found = _posterior(results, taught)
    return found if isinstance(found, Undefined) else found.theta


def _posterior(results: Sequence[Result], taught: ClassAbilities) -> Maybe[Graded]:
    rated = rated_of(results)
    if len(rated) < LEAST:
        return Undefined(message("undefined.few_for_score", least=LEAST))
    return taught.known.get(results[0].trainee_id) or posterior(rated, taught.prior)


def ability_figures(results: Sequence[Result], taught: ClassAbilities) -> Maybe[AbilityFigures]:
    """Compute the ability of one trainee, who may be of the class; undefined of fewer than `LEAST` rated pairs."""
    found = _posterior(results, taught)
    if isinstance(found, Undefined):
        return found
    rated, prior = rated_of(results), taught.prior
    return AbilityFigures(
        pairs=len(rated),
        trainees=taught.trainees,
        theta=found.theta,
        criterion=found.criterion,
        scale=found.scale,
        difficulty=sum(one.correlation * share for one, share in prior.settings),
        weights=unless_undefined(lambda: weights_of(rated, prior)),
    )
