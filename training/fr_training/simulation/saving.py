"""Measures how many items of an adaptive block are worth a fixed form, and what ratings and the choice bring of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_locales.messages import Message, message
from fr_training.grading.ability import rated_of
from fr_training.simulation.claims import Claim
from fr_training.simulation.trainee import Population, Spread
from fr_training.statistics.graded import UNKNOWN_PEOPLE, Graded, Normal, Prior, posterior, theta_sds
from fr_training.statistics.item_response import FARTHEST, NODES, information, probability
from fr_training.statistics.ordered_probit import AT_ITS_WORD, GUESS_RATE
from fr_training.trials import Result

if TYPE_CHECKING:
    from fr_training.simulation.study import Study

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


MOST_ITEMS = 0.6  # of those of the fixed form, that an adaptive block may need

GREATEST_INFORMATION = ((sqrt(5.0) - 1.0) / 2.0) ** 5
"""Of one answer about an ability, whichever pair it is to.

Fisher's information is L^2 (1 - L) / (1 + L), with L = s(theta - b) and g = 1/2; it is greatest at L = (sqrt(5) - 1) /
2, where P(right) is .81, and L^5 there. The items of a fixed form tell less the farther they are from that, so what can
be saved depends on how far its difficulties are spread, and how far people are from its mean: people who are 80 % right
on a form are, on average, just where it measures best.
"""

SPREADS = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Of difficulties of a form, in logits, for which the least ratio is told; forms of the bank have 1."""

_NODES, _FARTHEST = 161, 5.0  # of the average over people


@dataclass(frozen=True, slots=True)
class Saving:
    """Items of adaptive blocks in parts of those of the fixed form."""

    ratio: float  # mean over trainees; each stops when the posterior is as narrow as after the own fixed form
    standard_error: float  # of it
    unreached: int  # trainees whose block was over before; they count as having needed all of it
    trainees: int  # of all
    # Where the root of the mean variance is as small as after the fixed form; None where it never is.
    by_mean: float | None


def saving(precisions: Sequence[Precision], items: int) -> Saving:
    """Of some trainees, at least two, whose fixed form has so many items."""
    return _saving([(one.form, one.adaptive) for one in precisions], items)


def _saving(paths: Sequence[tuple[float, F64]], items: int) -> Saving:
    """Of the standard deviation to reach, and those after each trial, of some trainees."""
    needed = [_first(path, wanted) for wanted, path in paths]
    shown = len(paths[0][1])
    ratios = np.array([(shown if one is None else one) / items for one in needed], dtype=np.float64)
    together = np.sqrt(np.mean([path**2 for _, path in paths], axis=0))
    by_mean = _first(together, sqrt(float(np.mean([wanted**2 for wanted, _ in paths]))))
    return Saving(
        ratio=float(ratios.mean()),
        standard_error=float(ratios.std(ddof=1)) / sqrt(len(ratios)),
        unreached=sum(one is None for one in needed),
        trainees=len(ratios),
        by_mean=None if by_mean is None else by_mean / items,
    )


def saving_claims(study: Study) -> tuple[Claim, ...]:
    """The claim on the items needed, what ratings and what the choice of items bring, and what it depends on."""
    measured = [one.ability for one in study.people]
    weak, informed = (_of(study, [one.weak for one in measured]), _of(study, [one.informed for one in measured]))
    rated = _saving([(one.weak.form, one.weak.form_rated) for one in measured], study.sizes.fixed)
    chosen = _saving([(one.weak.form, one.weak.adaptive_right) for one in measured], study.sizes.fixed)
    share = (1.0 - rated.ratio) / (1.0 - weak.ratio) if weak.ratio < 1.0 else 0.0
    least = least_ratio(study.form_b, study.population.theta)
    return (
        Claim(
            message("claim.items"),
            message("bar.items", most=MOST_ITEMS),
            _told(weak),
            weak.ratio <= MOST_ITEMS,
            _figures(weak),
        ),
        Claim(
            message("claim.items_rated"),
            message("bar.told"),
            message("found.items_rated", needed=_told(rated), share=share),
            None,
            _figures(rated) | {"share": share},
        ),
        Claim(message("claim.items_chosen"), message("bar.told"), _told(chosen), None, _figures(chosen)),
        Claim(message("claim.items_informed"), message("bar.told"), _told(informed), None, _figures(informed)),
        Claim(message("claim.items_least"), message("bar.computed"), f"{least:.0%}", None, {"ratio": least}),
    )


def by_theta(study: Study) -> dict[float, tuple[Saving, float]]:
    """By ability: what people of exactly that needed, and the least that any choice could need."""
    return {
        theta: (_of(study, [one.weak for one in people]), least_ratio(study.form_b, Spread(theta, 0.0)))
        for theta, people in study.at_theta.items()
    }


def by_spread(study: Study) -> dict[float, float]:
    """By the standard deviation of the fixed form's difficulties, the least ratio for the study's people."""
    return {sd: least_ratio(study.form_b * sd, study.population.theta) for sd in SPREADS}


def least_ratio(form_b: F64, people: Spread) -> float:
    """Mean information of an item of the form, f64[n], over that of the best pair, averaged over people."""
    standard = np.linspace(-_FARTHEST, _FARTHEST, _NODES) if people.sd else np.zeros(1)
    shares = np.exp(-(standard**2) / 2)
    theta = people.mean + people.sd * standard
    of_form = information(theta[:, None], form_b[None, :], GUESS_RATE).mean(axis=1)
    return float(shares @ of_form / shares.sum()) / GREATEST_INFORMATION


def curves(people: Sequence[Measured]) -> tuple[F64, float]:
    """f64[n], the root of the mean posterior variance after each adaptive trial, and that after the fixed form."""
    adaptive = np.sqrt(np.mean([one.weak.adaptive**2 for one in people], axis=0))
    return np.asarray(adaptive, dtype=np.float64), sqrt(float(np.mean([one.weak.form**2 for one in people])))


def _of(study: Study, precisions: Sequence[Precision]) -> Saving:
    return saving(precisions, study.sizes.fixed)


def _first(sds: F64, wanted: float) -> int | None:
    """After how many trials the posterior is as narrow as is wanted."""
    narrow = np.flatnonzero(sds <= wanted)
    return int(narrow[0]) + 1 if len(narrow) else None


def _told(found: Saving) -> Message:
    needed = message("found.items", ratio=found.ratio, error=found.standard_error)
    if not found.unreached:
        return needed
    return message("found.items_unreached", needed=needed, unreached=found.unreached, trainees=found.trainees)


def _figures(found: Saving) -> dict[str, float]:
    figures = {
        "ratio": found.ratio,
        "standard_error": found.standard_error,
        "unreached": float(found.unreached),
        "trainees": float(found.trainees),
    }
    return figures if found.by_mean is None else figures | {"by_mean": found.by_mean}
