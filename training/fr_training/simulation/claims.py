"""Checks the claims about the product: each has a bar and what the study found.

d' and c by the log-linear rule are drawn towards 0 by design, by a known amount: their target is the exact mean of the
estimator over all outcomes, given the true d' and c (`fr_training.statistics.signal_detection.expected`). An ability is
the mean of a posterior, which is right on average over people who are spread as its prior says, not for each person: it
is estimated here with the population as prior. Reports give abilities from triads under a standard normal prior; the
error of that for these people is reported without a bar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.types import I64
from fr_locales.messages import Message, message
from fr_training.simulation.trainee import Abilities
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_response import Ability, probability
from fr_training.statistics.ordered_probit import GUESS_RATE
from fr_training.statistics.signal_detection import expected

if TYPE_CHECKING:
    from fr_training.simulation.study import Study

MOST_ERRORS = 2.0
"""Standard errors of the mean that the mean of estimates may be off by; chance alone exceeds it 1 time in 22."""

LEAST_COVERAGE, MOST_COVERAGE = 0.93, 0.97
"""Of 95 % intervals. Of 500 trainees, chance alone leaves it 1 time in 25 where the true coverage is 95 %."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim."""

    claim: Message | str  # in words
    bar: Message | str  # what must be found
    found: Message | str  # what was found
    met: bool | None  # whether it is within the bar; None where a figure is told without one
    figures: Mapping[str, float] = field(default_factory=dict, hash=False)  # the numbers behind `found`, by name


@dataclass(frozen=True, slots=True)
class Series:
    """An estimate of every trainee, beside the truth."""

    name: Message  # of the figure
    key: str  # of it in JSON
    true: F64  # f64[n], what is estimated
    target: F64  # f64[n], what the estimator gives on average over all outcomes; where that is not known, the truth
    estimate: F64  # f64[n]
    low: F64  # f64[n], lower ends of 95 % intervals
    high: F64  # f64[n], upper ends
    biased: Message | None = None  # why the mean of estimates is not claimed to be that of the targets
    classes: I64 | None = None  # i64[n], of people whose errors go together; None where each is alone


def bias_claim(series: Series) -> Claim:
    """The mean of estimate less target, against its standard error; of at least two trainees, or classes."""
    off = series.estimate - series.target
    if series.classes is not None and (numbers := np.unique(series.classes)).size > 1:
        off = np.array([off[series.classes == number].mean() for number in numbers])
    bias, error = float(off.mean()), float(off.std(ddof=1)) / sqrt(len(off))
    from_truth = float((series.estimate - series.true).mean())
    figures = {"bias": bias, "standard_error": error, "from_truth": from_truth}
    claim, found = message("claim.bias", figure=series.name), message("found.bias", bias=bias, error=error)
    if series.biased is not None:
        return Claim(claim, series.biased, found, None, figures)
    return Claim(claim, message("bar.bias", errors=MOST_ERRORS), found, abs(bias) <= MOST_ERRORS * error, figures)


def coverage_claim(series: Series, *, may_be_wide: bool = False) -> Claim:
    """The share of 95 % intervals, ends included, that hold the truth; where no model fits, they may be too wide."""
    held = (series.low <= series.true) & (series.true <= series.high)
    share = float(held.mean())
    bar = message("cell.range", low=f"{LEAST_COVERAGE:.0%}", high=f"{MOST_COVERAGE:.0%}")
    wide = may_be_wide and share > MOST_COVERAGE
    return Claim(
        message("claim.coverage", figure=series.name),
        message("bar.or_wider", bar=bar) if may_be_wide else bar,
        message("found.wider", share=share) if wide else f"{share:.1%}",
        wide or LEAST_COVERAGE <= share <= MOST_COVERAGE,
        {"coverage": share, "held": float(np.count_nonzero(held)), "trainees": float(len(held))},
    )


def series_of(study: Study) -> tuple[Series, ...]:
    """Every estimate of everybody."""
    people = study.people
    truth = [one.abilities for one in people]
    true_d, true_c = [one.dprime for one in truth], [one.says_same_above for one in truth]
    plain = [expected(d, c, study.sizes.pairs, study.sizes.pairs) for d, c in zip(true_d, true_c, strict=True)]
    plain_d, plain_c = [one.dprime for one in plain], [one.criterion for one in plain]
    moved = _array([2.0 * one.advice_weight for one in truth])
    after = _array([_shift(study, one, one.advice_weight) for one in truth])
    before = _array([_shift(study, one, 0.0) for one in truth])
    theta = _array([one.theta for one in truth])
    return (
        _series(message("figure.dprime"), "dprime", true_d, plain_d, [one.pairs.dprime for one in people]),
        _series(message("figure.criterion"), "criterion", true_c, plain_c, [one.pairs.criterion for one in people]),
        _series(message("figure.change"), "change", moved, after, [one.advice.shift.criterion for one in people]),
        _series(message("figure.net"), "net", moved, after - before, [one.net for one in people]),
        _series(message("figure.theta_form"), "theta_form", theta, theta, [one.ability.form.theta for one in people]),
        _series(
            message("figure.theta_adaptive"),
            "theta_adaptive",
            theta,
            theta,
            [one.ability.adaptive.theta for one in people],
        ),
        _triads(message("figure.theta_triads"), theta, [one.triads for one in people]),
    )


def _shift(study: Study, truth: Abilities, weight: float) -> float:
    """Mean over all outcomes of c after the advice "different" less c after "same", of a criterion moved so far."""
    same, different = study.advice_cells
    here = truth.says_same_above
    told_different = expected(truth.dprime, here + weight, *different)
    return told_different.criterion - expected(truth.dprime, here - weight, *same).criterion


def _series(
    name: Message, key: str, true: F64 | Sequence[float], target: F64 | Sequence[float], found: Sequence[Estimate]
) -> Series:
    values, low, high = ([one.value for one in found], [one.low for one in found], [one.high for one in found])
    return Series(name, key, _array(true), _array(target), _array(values), _array(low), _array(high))


def _triads(name: Message, true: F64, found: Sequence[Ability]) -> Series:
    values, low, high = (_array([getattr(one, end) for one in found]) for end in ("theta", "low", "high"))
    return Series(name, "theta_triads", true, true, values, low, high, biased=message("bar.prior"))


def _array(values: F64 | Sequence[float]) -> F64:
    return np.array(values, dtype=np.float64)


MOST_OFF = 0.05  # the most that the share of right answers may be off the target
FIRST = 10  # trials of a block that are left out, in which the ability is still looked for

THIRDS = {
    "lowest third": message("figure.lowest_third"),
    "middle third": message("figure.middle_third"),
    "highest third": message("figure.highest_third"),
}
"""Of the trainees, by true ability: keys of the JSON, and the names of them for people."""


def adaptive_claims(study: Study) -> tuple[Claim, ...]:
    """The claims on the share of right answers after the first trials: over all trainees, and over each third."""
    right = np.array([one.ability.right for one in study.people], dtype=np.float64)
    theta = np.array([one.ability.theta for one in study.people], dtype=np.float64)
    return tuple(right_claim(name, right[chosen], study.sizes.target, FIRST) for name, chosen in parts_of(theta))


def parts_of(theta: F64) -> list[tuple[Message, Bools]]:
    """All people of these abilities, and each third of them: its name, and who they are, bool[n]."""
    third, everybody = _third(theta), np.ones(len(theta), dtype=np.bool_)
    chosen = ((name, third == place) for place, name in enumerate(THIRDS.values()))
    return [(message("figure.all_trainees"), everybody), *chosen]


def thirds(study: Study) -> I64:
    """i64[n]: 0, 1 or 2 for each trainee, by true ability."""
    return _third(np.array([one.ability.theta for one in study.people]))


def _third(theta: F64) -> I64:
    rank = np.argsort(np.argsort(theta, kind="stable"), kind="stable")
    return np.asarray(rank * len(THIRDS) // len(theta), dtype=np.int64)


def chances(study: Study) -> F64:
    """f64[trainees, trials]: the true chance of a right answer to each pair of the adaptive blocks."""
    theta = np.array([one.ability.theta for one in study.people])
    return probability(theta[:, None], np.array([one.ability.b for one in study.people]), GUESS_RATE)


def right_claim(name: Message, right: F64, target: float, first: int) -> Claim:
    """The claim on the share of right answers, f64[people, trials], after the first trials of a block."""
    share = float(right[:, first:].mean())
    return Claim(
        message("claim.right", trials=first, people=name) if first else message("claim.right_all", people=name),
        message("bar.right", off=MOST_OFF, target=target),
        f"{share:.3f}",
        abs(share - target) <= MOST_OFF,
        {"share": share, "answers": float(right[:, first:].size)},
    )
