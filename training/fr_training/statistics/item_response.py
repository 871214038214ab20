"""Estimates the ability of a person and the difficulty of an item on one scale, from right and wrong answers.

P(right) = g + (1 - g) s(theta - b): theta is the ability, b the difficulty, g the chance of guessing right, s the
logistic function. With g = 0 it is the model of G. Rasch, "Probabilistic models for some intelligence and attainment
tests", Danish Institute for Educational Research (1960); with g > 0 that of A. Birnbaum in F. M. Lord and M. R. Novick,
"Statistical theories of mental test scores", Addison-Wesley (1968), all items discriminating alike. For choices among
k, g is 1/k: .5 for a pair, 1/3 for a triad.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log, sqrt

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, UndefinedRate
from fr_locales.messages import message
from fr_training.statistics import estimates

NODES = 81  # of the prior, on FARTHEST standard deviations to either side of its mean
FARTHEST = 4.0
REACH = 15.0  # logits beyond the hardest and the easiest item; a maximum out there is none
STEPS = 601  # of the search for the maximum
HALVINGS = 60  # of the bracket round it, to double precision
WORTH = 10.0  # people whose answers weigh as much as the machine's word on a difficulty


@dataclass(frozen=True, slots=True)
class Ability:
    """An ability, or the difficulty of an item, on the logit scale."""

    theta: float
    sd: float  # standard deviation of the posterior, or standard error of a maximum of the likelihood
    low: float
    high: float
    confidence: float = DEFAULT_CONFIDENCE


def probability(theta: F64 | float, b: F64 | float, g: F64 | float = 0.0) -> F64:
    """f64[...]: P(right) of abilities for items, in logits; the three are broadcast, each g in [0, 1)."""
    _check_guessing(g)
    logistic = 0.5 + 0.5 * np.tanh(0.5 * (np.asarray(theta, dtype=np.float64) - b))
    return np.asarray(g + (1.0 - np.asarray(g)) * logistic, dtype=np.float64)


def information(theta: F64 | float, b: F64 | float, g: F64 | float = 0.0) -> F64:
    """f64[...]: Fisher's information of an item about an ability; the three are broadcast.

    It is (1 - P) / P times ((P - g) / (1 - g))^2, which is P (1 - P) where g = 0. Source: F. M. Lord, "Applications of
    item response theory to practical testing problems", Erlbaum (1980), equation 4-43. Arguments and errors are those
    of `probability`.
    """
    p = probability(theta, b, g)
    return np.asarray((1.0 - p) / p * ((p - g) / (1.0 - np.asarray(g))) ** 2, dtype=np.float64)


def eap(b: F64, x: Bools, g: F64 | float = 0.0, *, mean: float = 0.0, sd: float = 1.0) -> Ability:
    """The mean of the posterior of an ability under a normal prior, on 81 nodes within 4 standard deviations of it.

    Source: R. D. Bock and R. J. Mislevy, "Adaptive EAP estimation of ability in a microcomputer environment", Applied
    Psychological Measurement 6 (1982) 431-444. The estimate is drawn towards the prior's mean, so a very able person is
    estimated too low; the interval, equal-tailed of the posterior, covers the true ability as often as it says on
    average over people who are distributed as the prior says, not for each single person.

    Args:
        b: f64[n], finite difficulties of the items; without any, the prior comes out.
        x: bool[n], whether each was answered rightly.
        g: chance of guessing right, in [0, 1); of all items, or f64[n].
        mean: of the prior.
        sd: of the prior, above 0.

    Raises:
        ValueError: shapes, dtypes or ranges differ from the above.
    """
    _check_answers(b, x, g)
    if not (isfinite(mean) and isfinite(sd) and sd > 0.0):
        raise ValueError(f"The prior has a finite mean and a standard deviation above 0, not {mean} and {sd}.")
    standard = np.linspace(-FARTHEST, FARTHEST, NODES)
    nodes = mean + sd * standard
    logs = _log_likelihood(nodes, b, x, g) - standard**2 / 2
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    theta = float(shares @ nodes)
    deviation = sqrt(float(shares @ (nodes - theta) ** 2))
    below = np.cumsum(shares) - shares / 2
    low, high = np.interp(estimates.ENDS, below, nodes)
    return Ability(theta, deviation, float(low), float(high))


def mle(b: F64, x: Bools, g: F64 | float = 0.0) -> Ability:
    """The ability of the greatest likelihood, with the standard error 1 / sqrt(information) and the normal interval.

    With g > 0 a likelihood may have two tops (F. Samejima, "A comment on Birnbaum's three-parameter logistic model",
    Psychometrika 38 (1973) 221-233), so the whole scale is searched before the top is refined. The standard error is
    one of many items; of few, take `eap`. The arguments are those of `eap`.

    Raises:
        UndefinedRate: all are right or all are wrong, or no more than guessing explains, so that no finite ability is
            the likeliest.
        ValueError: shapes, dtypes or ranges differ from the above.
    """
    _check_answers(b, x, g)
    if len(b) == 0 or x.all() or not x.any():
        raise UndefinedRate(message("undefined.ability_unbounded"))
    nodes = np.linspace(float(b.min()) - REACH, float(b.max()) + REACH, STEPS)
    best = int(_log_likelihood(nodes, b, x, g).argmax())
    if best in (0, STEPS - 1):
        raise UndefinedRate(message("undefined.ability_guessing"))
    low, high = float(nodes[best - 1]), float(nodes[best + 1])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(middle, b, x, g) > 0.0 else (low, middle)
    theta = (low + high) / 2
    error = 1.0 / sqrt(float(np.sum(information(theta, b, g))))
    margin = estimates.Z * error
    return Ability(theta, error, theta - margin, theta + margin)


def offset_for(target: float, g: float = 0.0) -> float:
    """theta - b at which P(right) is the target, above g and below 1: the logit of (target - g) / (1 - g)."""
    _check_guessing(g)
    if not g < target < 1.0:
        raise ValueError(f"The chance of a right answer lies between {g} and 1, and not at {target}.")
    known = (target - g) / (1.0 - g)
    return log(known / (1.0 - known))


def update_difficulty(b_algo: float, b_human: float, n: int) -> float:
    """The difficulty that a machine expects, drawn to what n people showed, both in logits.

    The machine's word is worth WORTH people: (WORTH b_algo + n b_human) / (WORTH + n).
    """
    if n < 0 or not (isfinite(b_algo) and isfinite(b_human)):
        raise ValueError("Difficulties are finite, and n is at least 0.")
    return (WORTH * b_algo + n * b_human) / (WORTH + n)


def _log_likelihood(nodes: F64, b: F64, x: Bools, g: F64 | float) -> F64:
    """f64[nodes], without loss where P is near 0 or 1."""
    distance = nodes[:, None] - b[None, :]
    log_wrong = np.log1p(-np.asarray(g)) - np.logaddexp(0.0, distance)  # 1 - P = (1 - g) s(b - theta)
    with np.errstate(divide="ignore"):  # the logarithm of g = 0 is minus infinity, as it should be
        log_right = np.logaddexp(np.log(g), np.log1p(-np.asarray(g)) - np.logaddexp(0.0, -distance))
    return np.asarray(np.where(x[None, :], log_right, log_wrong).sum(axis=1), dtype=np.float64)


def _slope(theta: float, b: F64, x: Bools, g: F64 | float) -> float:
    """Of the log likelihood at an ability."""
    p = probability(theta, b, g)
    known = (p - g) / (1.0 - np.asarray(g))
    return float(((x - p) * known / p).sum())


def _check_guessing(g: F64 | float) -> None:
    if not bool(np.all((np.asarray(g) >= 0.0) & (np.asarray(g) < 1.0))):
        raise ValueError("The chance of guessing right lies in [0, 1).")


def _check_answers(b: F64, x: Bools, g: F64 | float) -> None:
    if b.ndim != 1 or b.dtype != np.float64 or not np.isfinite(b).all():
        raise ValueError(f"Difficulties are f64[n] and finite, not {b.dtype}{list(b.shape)}.")
    if x.shape != b.shape or x.dtype != np.bool_:
        raise ValueError(f"{len(b)} items need as many booleans, not {x.dtype}{list(x.shape)}.")
    _check_guessing(g)
    if np.shape(g) not in ((), b.shape):
        raise ValueError(f"{len(b)} items need one chance of guessing, or as many.")
