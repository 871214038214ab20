"""Measures somebody's ability, and how precisely it is known after each pair: by ratings, and by right and wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_training.grading.ability import rated_of
from fr_training.simulation.trainee import Population
from fr_training.statistics.graded import UNKNOWN_PEOPLE, Graded, Normal, Prior, posterior, theta_sds
from fr_training.statistics.item_response import FARTHEST, NODES, probability
from fr_training.statistics.ordered_probit import AT_ITS_WORD, GUESS_RATE
from fr_training.trials import Result

WEAK = UNKNOWN_PEOPLE  # the prior that adaptive blocks work with: it knows hardly anything of the people


@dataclass(frozen=True, slots=True)
class Precision:
    """The precision of an ability under a prior: standard deviations of the posterior.

    Rated answers are scored by `graded`, right and wrong ones by `item_response`, which takes the undecided for wrong.
    """

    form: float  # after the fixed form, right or wrong
    adaptive: F64  # f64[n], after each trial of the adaptive block, rated
    form_rated: F64  # f64[m], after each trial of the fixed form, rated
    adaptive_right: F64  # f64[n], after each trial of the adaptive block, right or wrong


@dataclass(frozen=True, slots=True)
class Measured:
    """The estimates of somebody's ability."""

    theta: float  # true ability
    form: Graded  # estimate from the fixed form, with the population as prior
    adaptive: Graded  # estimate from the whole adaptive block, likewise
    b: F64  # f64[n], difficulties of the items of the adaptive block, in the order in which they were shown
    right: Bools  # bool[n], whether they were answered rightly
    weak: Precision  # precision under WEAK
    informed: Precision  # precision with the population as prior


def measured(theta: float, form: Sequence[Result], adaptive: Sequence[Result], people: Population) -> Measured:
    """Measure one of `people` of that ability, who took the fixed form and the adaptive block."""
    (form_b, form_right), (b, right) = _answers(form), _answers(adaptive)
    form_rated, rated = rated_of(form), rated_of(adaptive)

    def precision(prior: Prior) -> Precision:
        return Precision(
            form=float(posterior_sds(form_b, form_right, prior.theta)[-1]),
            adaptive=theta_sds(rated, prior),
            form_rated=theta_sds(form_rated, prior),
            adaptive_right=posterior_sds(b, right, prior.theta),
        )

    known = prior_of(people)
    return Measured(
        theta=theta,
        form=posterior(form_rated, known),
        adaptive=posterior(rated, known),
        b=b,
        right=right,
        weak=precision(WEAK),
        informed=precision(known),
    )


def prior_of(people: Population) -> Prior:
    """The population as a prior, which is what intervals are made for, and the machine at its word on difficulty."""
    theta, criterion, log_scale = (
        Normal(one.mean, one.sd) for one in (people.theta, people.criterion, people.log_scale)
    )
    return Prior(theta, criterion, log_scale, ((AT_ITS_WORD, 1.0),))


def posterior_sds(b: F64, right: Bools, prior: Normal) -> F64:
    """f64[n]: the standard deviation that `eap` gives after each of n right or wrong answers to pairs."""
    standard = np.linspace(-FARTHEST, FARTHEST, NODES)
    nodes = prior.mean + prior.sd * standard
    chances = probability(nodes[:, None], b[None, :], GUESS_RATE)
    logs = np.log(np.where(right[None, :], chances, 1.0 - chances)).cumsum(axis=1) - standard[:, None] ** 2 / 2
    shares = np.exp(logs - logs.max(axis=0))
    shares /= shares.sum(axis=0)
    means = nodes @ shares
    return np.asarray(np.sqrt((shares * (nodes[:, None] - means[None, :]) ** 2).sum(axis=0)), dtype=np.float64)


def _answers(rows: Sequence[Result]) -> tuple[F64, Bools]:
    b = np.array([one.b or 0.0 for one in rows], dtype=np.float64)
    return b, np.array([one.correct is True for one in rows], dtype=np.bool_)
