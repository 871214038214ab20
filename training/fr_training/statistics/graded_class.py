"""Learns from a class what people are like, as a prior of each person's ability, criterion and scale.

It is an empirical Bayes estimate, made wider for how few the people are: B. P. Carlin and T. A. Louis, "Bayes and
empirical Bayes methods for data analysis", 2nd edition, Chapman and Hall (2000), chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import message
from fr_training.statistics.graded import UNKNOWN_PEOPLE, Graded, Normal, Prior, doubt, log_prior, log_shares, summary
from fr_training.statistics.ordered_probit import (
    CRITERION,
    LOG_SCALE,
    SHAPE,
    THETA,
    Rated,
    Setting,
    check_answers,
    log_likelihood,
)

Normals: TypeAlias = tuple[Normal, Normal, Normal]  # of ability, criterion and the logarithm of the scale
WORTH = 5.0  # people whose spread the usual spread counts as, in a class of few

USUAL: Normals = (Normal(0.6, 0.8), Normal(0.0, 0.3), Normal(0.0, 0.3))
"""Spread of ability among people (7.5 points of 81 % right, `fr_training.simulation.trainee.Population`), and assumed
spreads of criterion and of the logarithm of the scale."""

MOST_PEOPLE = 40  # of a class from whom its prior is learned; more would change it by little
LEAST_SHARE = 1e-3  # of a setting; less likely ones are left out of the prior

_ROUNDS = 25
_SETTLED = 1e-3


@dataclass(frozen=True, slots=True)
class ClassFound:
    """The prior that a class teaches, and its uncertainty."""

    prior: Prior  # of its people, learned from all of them
    people: tuple[Graded, ...]  # the posterior of each, in their order


def of_class(answers: Sequence[Sequence[Rated]]) -> ClassFound:
    """Learn from a class what its people are like, what machine difficulty is worth and how often they slip.

    For each setting, means and variances are those of the largest marginal likelihood with the usual ones as `WORTH`
    more people (the expectation-maximisation of A. P. Dempster, N. M. Laird and D. B. Rubin, Journal of the Royal
    Statistical Society B 39 (1977) 1-38), and the settings are weighed by it. Each posterior is averaged over settings
    with the prior of each, made wider by how little so few people tell of their mean and spread.

    Args:
        answers: of each person, at least one; the prior is learned from `MOST_PEOPLE` of them at most.

    Raises:
        UndefinedRate: there is nobody, or somebody without an answer.
        ValueError: a rating or a difficulty is out of its range.
    """
    for person in answers:
        check_answers(person)
    if not answers or not all(answers):
        raise UndefinedRate(message("undefined.no_trials"))
    some = answers[:: -(-len(answers) // MOST_PEOPLE)]
    items = len({(one.mated, one.b) for person in answers for one in person})
    fits = [_learned(some, setting) for setting, _ in UNKNOWN_PEOPLE.settings]
    shares = np.exp(np.array([likely for _, likely in fits]) - max(likely for _, likely in fits))
    shares /= shares.sum()
    averaged = np.zeros((len(answers), *SHAPE))
    kept: list[tuple[Setting, float]] = []
    for (setting, _), (normals, _), share in zip(UNKNOWN_PEOPLE.settings, fits, shares.tolist(), strict=True):
        if share > LEAST_SHARE:
            prior = log_prior(Prior(*normals), doubt(setting, items))
            for place, person in enumerate(answers):
                averaged[place] += share * _posterior(log_likelihood(person, setting) + prior)
            kept.append((setting, share))
    total = sum(share for _, share in kept)
    best = fits[int(shares.argmax())][0]
    return ClassFound(
        Prior(*best, settings=tuple((setting, share / total) for setting, share in kept)),
        tuple(summary(one / total) for one in averaged),
    )


def _learned(answers: Sequence[Sequence[Rated]], setting: Setting) -> tuple[Normals, float]:
    """Return the prior that one setting makes likely, wider for fewer people, and the logarithm of the evidence."""
    (theta, criterion, log_scale), likely = _fitted(np.stack([log_likelihood(one, setting) for one in answers]))
    freedom = len(answers) + WORTH - 1.0
    wider = sqrt((1.0 + 1.0 / len(answers)) * freedom / (freedom - 2.0))  # SD of Student's t, of the next person
    return (
        Normal(theta.mean, theta.sd * wider),
        Normal(criterion.mean, criterion.sd * wider),
        Normal(log_scale.mean, log_scale.sd * wider),
    ), likely


def _posterior(joint: F64) -> F64:
    """f64[nodes...], which add up to 1."""
    shares = np.exp(joint - joint.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _fitted(logs: F64) -> tuple[Normals, float]:
    """The normal priors of people with these log likelihoods, f64[people, nodes...], and the log of the evidence."""
    count, axes = len(logs), (THETA, CRITERION, LOG_SCALE)
    top = logs.max(axis=(1, 2, 3), keepdims=True)
    likely = np.exp(logs - top)
    normals, total = USUAL, 0.0
    for _ in range(_ROUNDS):
        of_theta, of_criterion, of_scale = map(np.exp, map(log_shares, axes, normals))
        at_scale = (likely @ of_scale) @ of_criterion  # f64[people, theta]
        at_theta = (of_theta @ likely.reshape(count, len(THETA), -1)).reshape(count, len(CRITERION), len(LOG_SCALE))
        sums = at_scale @ of_theta
        before, total = total, float(np.log(sums).sum() + top.sum())
        joint = (at_scale * of_theta, (at_theta @ of_scale) * of_criterion, (of_criterion @ at_theta) * of_scale)
        marginals = [one / sums[:, None] for one in joint]
        theta, criterion, log_scale = (
            _moments(marginal, nodes, usual, count, drawn=place > 0)
            for place, (marginal, nodes, usual) in enumerate(zip(marginals, axes, USUAL, strict=True))
        )
        normals = (theta, criterion, log_scale)
        if abs(total - before) < _SETTLED:
            break
    return normals, total


def _moments(marginal: F64, nodes: F64, usual: Normal, count: int, *, drawn: bool) -> Normal:
    """Mean and SD of people; the usual mean counts only where it is `drawn` in, for a course may be easy or hard."""
    held = WORTH if drawn else 0.0
    mean = (float((marginal @ nodes).sum()) + held * usual.mean) / (count + held)
    squares = float((marginal @ (nodes - mean) ** 2).sum()) + WORTH * usual.sd**2 + held * (mean - usual.mean) ** 2
    least = float(nodes[1] - nodes[0]) / 2  # narrower than that, nodes would not show it
    return Normal(mean, max(least, sqrt(squares / (count + WORTH))))
