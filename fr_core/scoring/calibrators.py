"""Turns a similarity into a likelihood ratio, never stronger than the comparisons behind it can support.

Two curves are offered. The logistic one has two numbers, is smooth, and trusts its shape between sparse comparisons.
The steps are as free as rising can be, trust the comparisons alone, and want many of them. Both are cut off at the
limits of `supported_limits`. LRs are decimal logarithms: 2 is "a hundred times likelier if mated".
"""

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, log

import numpy as np

from fr_core.scoring.checks import F64, check_similarities
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.likelihood import LN_10, check_both
from fr_core.scoring.pav import pool, runs
from fr_locales.messages import message

# Weights sum to 1 and similarities are standardised, so that a gradient this small is one of rounding alone.
GRADIENT_TOLERANCE = 1e-12
MAX_NEWTON_STEPS = 100
# A cost that grew by less than this share grew by rounding.
COST_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class LogisticCurve:
    """log10 LR = intercept + slope * similarity, with slope > 0."""

    intercept: float
    slope: float

    def __post_init__(self) -> None:
        if not (isfinite(self.intercept) and isfinite(self.slope) and self.slope > 0.0):
            raise ValueError("A logistic curve has a finite intercept and a finite slope above 0.")

    def log10_lrs(self, similarities: F64) -> F64:
        """f64[n] log10 LRs of f64[n] similarities, not cut off."""
        return self.intercept + self.slope * similarities


@dataclass(frozen=True, slots=True)
class StepCurve:
    """Rising steps: from each start up to the next, one log10 LR; below the first start, that of the first."""

    starts: tuple[float, ...]  # similarities, strictly ascending, at least one
    levels: tuple[float, ...]  # the log10 LR of each step, strictly ascending

    def __post_init__(self) -> None:
        if not self.starts or len(self.starts) != len(self.levels):
            raise ValueError("A curve of steps has at least one step, and a level for each.")
        for numbers in (self.starts, self.levels):
            if not all(map(isfinite, numbers)) or any(b <= a for a, b in pairwise(numbers)):
                raise ValueError("The steps of a curve rise, and are finite.")

    def log10_lrs(self, similarities: F64) -> F64:
        """f64[n] log10 LRs of f64[n] similarities, not cut off."""
        place = np.searchsorted(np.array(self.starts), similarities, side="right") - 1
        return np.array(self.levels)[np.maximum(place, 0)]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The strength of evidence of one similarity."""

    log10_lr: float  # decimal logarithm of the likelihood ratio; above 0 speaks for mated
    at_limit: bool  # the curve claims more, and is cut off at what the comparisons can support
    # The similarity lies among those that the curve was learnt from. Where it does not, log10_lr is a continuation of
    # the curve, still within the limits.
    supported: bool


@dataclass(frozen=True, slots=True)
class LrCalibrator:
    """A curve, cut off at the limits of its support."""

    curve: LogisticCurve | StepCurve  # from similarity to log10 LR
    weakest: float  # the least log10 LR that is stated, <= 0
    strongest: float  # the greatest log10 LR that is stated, >= 0
    lowest: float  # the least similarity that the curve was learnt from
    highest: float  # the greatest

    def __post_init__(self) -> None:
        if not (isfinite(self.weakest) and isfinite(self.strongest) and self.weakest <= 0.0 <= self.strongest):
            raise ValueError(
                "The limits of a likelihood ratio are finite and enclose 0, its logarithm for no evidence."
            )
        if not (isfinite(self.lowest) and isfinite(self.highest) and self.lowest <= self.highest):
            raise ValueError("The similarities that a curve was learnt from have a lowest and a highest.")

    def log10_lrs(self, similarities: F64) -> F64:
        """f64[n] log10 LRs, within the limits, of f64[n] finite similarities; ValueError for anything else."""
        check_similarities(similarities)
        return np.clip(self.curve.log10_lrs(similarities), self.weakest, self.strongest)

    def evidence(self, similarity: float) -> Evidence:
        """Return what one finite similarity says; ValueError for one that is not finite."""
        one = np.array([similarity], dtype=np.float64)
        stated, claimed = float(self.log10_lrs(one)[0]), float(self.curve.log10_lrs(one)[0])
        return Evidence(stated, stated != claimed, self.lowest <= similarity <= self.highest)


def fit_logistic(mated: F64, nonmated: F64, prior: float = 0.5) -> LrCalibrator:
    """Learn a logistic curve: the line that makes the prior-weighted cost of the log LRs least.

    Mated comparisons weigh `prior` together and non-mated ones 1 - prior, however many there are. At prior .5 the cost
    is `cllr`. Source: N. Brümmer and J. du Preez, "Application-independent evaluation of speaker detection", Computer
    Speech and Language 20 (2006). The least is found by Newton steps, halved while they do not lower the cost.

    Mated and non-mated similarities that do not overlap would make the best slope infinite. They are refused here, and
    `fit_steps` takes them. Source: A. Albert and J. A. Anderson, "On the existence of maximum likelihood estimates in
    logistic regression models", Biometrika 71 (1984) 1-10.

    Args:
        mated: f64[n], finite similarities of mated comparisons.
        nonmated: f64[m], finite similarities of non-mated comparisons.
        prior: in (0, 1), the probability of mated around whose decisions the curve fits best.

    Raises `UndefinedRate`: n or m is 0, the two do not overlap, mated ones are not the more similar ones, or the steps
    do not settle; `ValueError`: shape or dtype differs from the above, a similarity is not finite, or the prior is not
    in (0, 1).
    """
    check_both(mated, nonmated)
    if not 0.0 < prior < 1.0:
        raise ValueError(f"The prior must lie between 0 and 1, and is {prior}.")
    if nonmated.max() <= mated.min() or mated.max() <= nonmated.min():
        raise UndefinedRate(message("undefined.core.mated_non_mated_similarities"))
    similarities = np.concatenate([mated, nonmated])
    centre, spread = float(similarities.mean()), float(similarities.std())
    signs = np.repeat([1.0, -1.0], [len(mated), len(nonmated)])
    weights = np.repeat([prior / len(mated), (1.0 - prior) / len(nonmated)], [len(mated), len(nonmated)])
    offset = log(prior / (1.0 - prior))
    level, rise = _least_cost((similarities - centre) / spread, signs, weights, offset)
    if rise <= 0.0:
        raise UndefinedRate(message("undefined.core.mated_comparisons_not_more"))
    slope = rise / spread
    return _limited(LogisticCurve((level - slope * centre) / LN_10, slope / LN_10), mated, nonmated)


def fit_steps(mated: F64, nonmated: F64) -> LrCalibrator:
    """Learn rising steps by pooling adjacent violators (isotonic regression; sources in `fr_core.scoring.pav`).

    Half a mated and half a non-mated comparison stand at each end, so that the outermost steps are (n + .5) to .5
    instead of infinite. The half is that of F. J. Anscombe, "On estimating binomial response relations", Biometrika 43
    (1956) 461-464.

    Args:
        mated: f64[n], finite similarities of mated comparisons.
        nonmated: f64[m], finite similarities of non-mated comparisons.

    Raises `UndefinedRate`: n or m is 0; `ValueError`: shape or dtype differs from the above, or a similarity is not
    finite.
    """
    check_both(mated, nonmated)
    found = runs(mated, nonmated)
    mates = np.concatenate([[0.5], found.mated, [0.5]])
    others = np.concatenate([[0.5], found.nonmated, [0.5]])
    first = pool(mates, others)
    last = np.append(first[1:], len(mates)) - 1
    ratios = np.add.reduceat(mates, first) / np.add.reduceat(others, first) * ((len(nonmated) + 1) / (len(mated) + 1))
    # A half comparison that was pooled with nothing is no step of its own.
    real = (first < len(mates) - 1) & (last > 0)
    starts = found.starts[np.maximum(first, 1)[real] - 1]
    return _limited(StepCurve(tuple(starts.tolist()), tuple(np.log10(ratios[real]).tolist())), mated, nonmated)


def supported_limits(mated: F64, nonmated: F64) -> tuple[float, float]:
    """The least and the greatest log10 LR that the comparisons can support: the empirical lower and upper bound.

    An LR of t is supported if stating LRs up to t serves better than stating none: among the comparisons, LRs of t or
    more must be at least t times as frequent if mated. One misleading comparison more than was seen is added on each
    side. So the upper bound is below (number of non-mated comparisons) + 1, and the lower one above
    1 / (number of mated comparisons + 1). Comparisons are counted as if they were independent; as they share people,
    less evidence stands behind a bound than its number says. Source: P. Vergeer, A. van Es, A. de Jongh, I. Alberink
    and R. Stoel, "Numerical likelihood ratios outputted by LR systems are often based on extrapolation: when to stop
    extrapolating?", Science and Justice 56 (2016) 482-491. The bounds are computed exactly, not on a grid.

    Args:
        mated: f64[n], finite log10 LRs of mated comparisons.
        nonmated: f64[m], finite log10 LRs of non-mated comparisons.

    Returns (weakest <= 0, strongest >= 0).

    Raises `UndefinedRate`: n or m is 0; `ValueError`: shape or dtype differs from the above, or a value is not finite.
    """
    check_both(mated, nonmated)
    # 0.0 - x: without a bound the weakest is 0.0, not -0.0.
    return 0.0 - _upper_limit(-nonmated, -mated), _upper_limit(mated, nonmated)


def _upper_limit(mated: F64, nonmated: F64) -> float:
    """The first log10 LR above 0 beyond which the comparisons do not bear out what is stated."""
    stated = np.unique(np.concatenate([mated, nonmated]))
    stated = stated[stated > 0.0]
    mates = len(mated) - np.searchsorted(np.sort(mated), stated)
    others = len(nonmated) - np.searchsorted(np.sort(nonmated), stated)
    # Between two neighbouring LRs the shares do not change: what they bear out holds up to the higher of the two.
    with np.errstate(divide="ignore"):
        borne_out = np.log10(mates / (len(mated) + 1)) - np.log10((others + 1) / (len(nonmated) + 1))
    over = np.flatnonzero(borne_out < stated)
    if not len(over):
        return float(stated[-1]) if len(stated) else 0.0
    below = float(stated[over[0] - 1]) if over[0] else 0.0
    return max(below, float(borne_out[over[0]]))


def _limited(curve: LogisticCurve | StepCurve, mated: F64, nonmated: F64) -> LrCalibrator:
    weakest, strongest = supported_limits(curve.log10_lrs(mated), curve.log10_lrs(nonmated))
    lowest = min(float(mated.min()), float(nonmated.min()))
    highest = max(float(mated.max()), float(nonmated.max()))
    return LrCalibrator(curve, weakest, strongest, lowest, highest)


def _least_cost(x: F64, signs: F64, weights: F64, offset: float) -> tuple[float, float]:
    """(a, b) for which the sum of weights * ln(1 + exp(-signs * (offset + a + b x))) is least."""
    point = np.zeros(2)

    def cost(at: F64) -> float:
        return float(weights @ np.logaddexp(0.0, -signs * (offset + at[0] + at[1] * x)))

    now = cost(point)
    for _ in range(MAX_NEWTON_STEPS):
        # The probability of the other kind than the true one.
        wrong = 0.5 - 0.5 * np.tanh(signs * (offset + point[0] + point[1] * x) / 2)
        pull = weights * signs * wrong
        gradient = np.array([pull.sum(), pull @ x])
        if np.abs(gradient).max() <= GRADIENT_TOLERANCE:
            return float(point[0]), float(point[1])
        bend = weights * wrong * (1.0 - wrong)
        across = bend @ x
        step = np.linalg.solve(np.array([[bend.sum(), across], [across, (bend * x) @ x]]), gradient)
        while (then := cost(point + step)) > now * (1.0 + COST_TOLERANCE):
            step /= 2
        point, now = point + step, then
    raise UndefinedRate(message("undefined.core.logistic_curve_does_not"))
