"""Figures of training beside values that were computed by hand, to as many decimals as these have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from fr_core.scoring.auc import auc_delong
from fr_core.scoring.differentials import max_to_min, ratios_to_geometric_mean
from fr_core.scoring.intervals import wilson_interval
from fr_core.scoring.likelihood import (
    brier,
    cllr,
    expected_calibration_error,
    level_ratios,
    log_loss,
    ratio_ceiling,
)
from fr_locales.messages import message
from fr_training.grading.rates import with_undecided
from fr_training.grading.values import share
from fr_training.statistics.advice import Aided, automation_bias, by_label, misled
from fr_training.statistics.agreement import kappa, mcnemar
from fr_training.statistics.change import change_of_tests
from fr_training.statistics.estimates import z_of
from fr_training.statistics.item_response import eap, mle, offset_for, probability
from fr_training.statistics.signal_detection import prevalence_ppv, sensitivity


@dataclass(frozen=True, slots=True)
class Oracle:
    """A figure."""

    name: str
    wanted: tuple[float, ...]
    found: Callable[[], Sequence[float]]
    decimals: int = 4

    def off(self) -> float:
        """The greatest difference, in halves of the last decimal: at most 1 where all are met."""
        found = self.found()
        if len(found) != len(self.wanted):
            return float("inf")
        furthest = max(abs(a - b) for a, b in zip(found, self.wanted, strict=True))
        return furthest / (0.5 / 10.0**self.decimals + 1e-9)


SAME = np.array([3, 3, 2, 2, 1, 0, -1, 3, 2, 1])
DIFFERENT = np.array([-3, -2, -2, -1, 0, 1, -3, -1, -2, 2])
RASCH_B, RASCH_X = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]), np.array([True, True, True, False, False])
STATED = np.array([0.95, 0.8, 0.6, 0.5, 0.3, 0.9, 0.1, 0.2, 0.4, 0.05])
TRUE = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0], dtype=np.bool_)
LR_SAME, LR_DIFFERENT = np.log10([100.0, 50.0, 10.0, 3.0, 0.5]), np.log10([0.01, 0.1, 0.2, 0.5, 4.0])
LEVELS = (3, 2, 1, 0, -1, -2, -3)
RATERS = np.array([3, 2, 1, 0, -1, -2, -3, 2]), np.array([2, 2, 1, -1, -1, -3, -3, 3])


def _detection(hits: int, false_alarms: int) -> tuple[float, float]:
    found = sensitivity(hits, 20, false_alarms, 20)
    return found.dprime.value, found.criterion.value


def _area() -> tuple[float, float]:
    found = auc_delong(SAME.astype(np.float64), DIFFERENT.astype(np.float64))
    return found.value, found.standard_error


def _wilson(count: int, total: int) -> tuple[float, float]:
    found = wilson_interval(count, total)
    return found.low, found.high


def _ability(g: float) -> tuple[float, float]:
    found = eap(RASCH_B, RASCH_X, g)
    return found.theta, found.sd


def _likeliest() -> tuple[float, float]:
    found = mle(RASCH_B, RASCH_X)
    return found.theta, found.sd


def _undecided() -> list[float]:
    found = with_undecided(15, 3, 20, message("none.pairs_of_one"), message("undecided.pairs_of_one"))
    return [getattr(one, "value", float("nan")) for one in (found.of_all, found.of_decided, found.coverage)]


def _shares(*counts: tuple[int, int]) -> list[float]:
    return [getattr(share(part, total, message("none.rated_pairs")), "value", float("nan")) for part, total in counts]


def leaning() -> Aided:
    """Somebody who leans: 10 + 10 pairs under each label; H, F are .8, .4 after "same", .6, .2 after "different"."""
    mated = np.tile(np.repeat([True, False], 10), 2)
    said_same = np.concatenate([np.arange(10) < count for count in (8, 4, 6, 2)])
    return Aided(np.where(mated, 1, -1), np.where(said_same, 1, -1), mated, np.repeat([True, False], 20))


def unmoved() -> Aided:
    """Somebody with the same errors under both labels, before and after."""
    mated = np.tile([True, False], 20)
    ratings = np.where(mated, 2, -2)
    ratings[[0, 1, 20, 21]] *= -1
    return Aided(ratings, ratings, mated, np.repeat([True, False], 20))


def _advice(trials: Aided) -> tuple[float, float, float]:
    shift = by_label(trials).shift
    return shift.dprime.value, shift.criterion.value, misled(trials).value


_Z = NormalDist().inv_cdf

ORACLES = (
    Oracle("d' and c, 13 and 4 of 20", (1.1577, 0.2128), lambda: _detection(13, 4)),
    Oracle("d' and c, 20 and 0 of 20", (3.9615, 0.0), lambda: _detection(20, 0)),
    Oracle("d' and c, 16 and 16 of 20", (0.0, -0.7916), lambda: _detection(16, 16)),
    Oracle("d' and c, 20 and 6 of 20", (2.4780, -0.7418), lambda: _detection(20, 6)),
    Oracle("d' divided by N + 1, and not by N + 1.5", (1.7713,), lambda: [sensitivity(9, 10, 2, 9).dprime.value]),
    Oracle("area and DeLong's standard error", (0.89, 0.0709), _area),
    Oracle("d' of an area", (2.0871, 0.6614), lambda: [sqrt(2.0) * z_of(area) for area in (0.93, 0.68)]),
    Oracle("Wilson, 34 of 40", (0.7093, 0.9294), lambda: _wilson(34, 40)),
    Oracle("Wilson, 0 of 20", (0.0, 0.1611), lambda: _wilson(0, 20)),
    Oracle("Wilson, 13 of 20", (0.4329, 0.8188), lambda: _wilson(13, 20)),
    Oracle("Wilson, 5 of 20", (0.1119, 0.4687), lambda: _wilson(5, 20)),
    Oracle("Brier score", (0.1765,), lambda: [brier(STATED, TRUE)]),
    Oracle("log-loss, nats", (0.54338,), lambda: [log_loss(STATED, TRUE)], 5),
    Oracle("calibration error, 5 equal bins", (0.28,), lambda: [expected_calibration_error(STATED, TRUE)]),
    Oracle("Cllr", (0.55022,), lambda: [cllr(LR_SAME, LR_DIFFERENT)], 5),
    Oracle("Cllr of ratios of 1", (1.0,), lambda: [cllr(np.zeros(5), np.zeros(5))]),
    Oracle(
        "likelihood ratio of each rating, 3 to -3",
        (7.0, 7 / 3, 5 / 3, 1.0, 0.6, 1 / 7, 0.2),
        lambda: [one.ratio for one in level_ratios(SAME, DIFFERENT, LEVELS)],
    ),
    Oracle("greatest ratio of 10 and 10 pairs", (21.0,), lambda: [ratio_ceiling(10, 10)]),
    Oracle("lists, 13 of 20 and 5 of 20", (0.65, 0.25), lambda: _shares((13, 20), (5, 20))),
    Oracle("errors of all, of decided, and share decided", (0.15, 0.1667, 0.90), _undecided),
    Oracle("Rasch, ability and SD", (0.2471, 0.7041), lambda: _ability(0.0)),
    Oracle("Rasch with guessing of a third", (-0.0669, 0.8028), lambda: _ability(1 / 3)),
    Oracle("Rasch, likeliest ability and error", (0.4545, 0.9650), _likeliest),
    Oracle("chance of a right triad, .8 above ability", (0.5400,), lambda: [float(probability(0.0, 0.8, 1 / 3))]),
    Oracle("offset for .75", (0.0, 0.5108), lambda: [offset_for(0.75, g) for g in (0.5, 1 / 3)]),
    Oracle("offset for .85", (0.8473, 1.2368), lambda: [offset_for(0.85, g) for g in (0.5, 1 / 3)]),
    Oracle("weighted kappa", (0.7895, 0.9429), lambda: [kappa(*RATERS, LEVELS, power).value for power in (1, 2)]),
    Oracle("McNemar's exact p, 10 against 2", (0.03857,), lambda: [mcnemar(10, 2)], 5),
    Oracle(
        "reliable change, r of .774 and .631",
        (9.83, 12.56),
        lambda: [change_of_tests((8_000, 10_000), (9_000, 10_000), 7.46, r).needed for r in (0.774, 0.631)],
        2,
    ),
    Oracle(
        'P(same | "same") at shares of .5, .1, .01',
        (0.85, 0.3864, 0.0541),
        lambda: [prevalence_ppv(0.85, 0.15, prevalence) for prevalence in (0.5, 0.1, 0.01)],
    ),
    Oracle(
        "groups of .1, .2, .4",
        (0.5, 1.0, 2.0, 4.0),
        lambda: [
            *ratios_to_geometric_mean(np.array([0.1, 0.2, 0.4])).tolist(),
            max_to_min(np.array([0.1, 0.2, 0.4])),
        ],
    ),
    Oracle("advice, healthy: d', c, misled", (0.0, 0.0, 0.0), lambda: _advice(unmoved())),
    Oracle(
        "advice, leaning: d', c, misled",
        (0.0, -(_Z(6.5 / 11) + _Z(2.5 / 11)) / 2 + (_Z(8.5 / 11) + _Z(4.5 / 11)) / 2, 0.4),
        lambda: _advice(leaning()),
    ),
    Oracle(
        "advice, healthy: net", (0.0,), lambda: [automation_bias(unmoved(), np.random.default_rng(1), draws=100).value]
    ),
)
"""All rows of "Metrics" in the training science; Elo is in none, as adaptive blocks choose by the posterior."""
