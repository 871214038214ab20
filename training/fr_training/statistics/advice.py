"""Measures what a machine's advice does to people: whether it moves their criterion, misleads or helps them.

Automation bias is a lean to what a machine says, whatever the photos show: after "same" a person says "same" too
readily (c falls), after "different" too slowly (c rises), while d' stays as it was. Sources: J. J. Howard, L. R.
Rabbitt and Y. B. Sirotin, "Human-algorithm teaming in face recognition: how algorithm outcomes cognitively bias human
decision-making", PLOS ONE 15 (2020) e0237855; R. Parasuraman and D. H. Manzey, "Complacency and bias in human use of
automation: an attentional integration", Human Factors 52 (2010) 381-410.

The photos that a machine errs on are hard for people too, so the criterion may differ between the two labels without
any advice. So there are ratings before and after it, and `net_shift` is what the advice alone moved.

Two answers of one person to the same pairs go together, and the interval allows for it. Each truth's pairs fall into
four cells, "same" or not at first by "same" or not at last. Their shares have a Dirichlet posterior with 1/4 added to
each cell (W. Perks, "Some observations on inverse probability including a new indifference rule", Journal of the
Institute of Actuaries 73 (1947) 285-334), which gives each answer alone the posterior of
`fr_training.statistics.estimates`, Beta(count + 1/2, rest + 1/2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import Rate, UndefinedRate, rate
from fr_core.types import I64
from fr_locales.messages import message
from fr_training.statistics import estimates
from fr_training.statistics.decisions import check_ratings, signal_counts
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.signal_detection import Difference, Sensitivity, difference, sensitivity, z_rate

CELL_PRIOR = 0.25  # Perks (1947): 1 / cells
FARTHEST = 12.0  # of z
STEPS = 4801
LEAST = 1e-300
DRAWS = 20_000  # place the ends of a 95 % interval to some hundredths of its width


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Pairs of one truth, by two answers to each."""

    both: int  # called "same" both times
    first_only: int  # called so at first alone
    last_only: int  # called so at last alone
    neither: int  # never called so


def drawn_change(terms: Sequence[tuple[float, PairedCounts]], rng: np.random.Generator, draws: int) -> F64:
    """f64[draws]: of the posterior of the sum of w [z(rate at last) - z(rate at first)] over independent cells.

    `terms` are w and the counts of each.
    """
    total = np.zeros(draws)
    for weight, counts in terms:
        cells = np.array([counts.both, counts.first_only, counts.last_only, counts.neither]) + CELL_PRIOR
        both, first_only, last_only, neither = rng.standard_gamma(cells, size=(draws, 4)).T
        first = _z_of_odds(both + first_only, last_only + neither)
        last = _z_of_odds(both + last_only, first_only + neither)
        total += weight * (last - first)
    return total


def _z_of_odds(ahead: F64, behind: F64) -> F64:
    """f64[n]: z of ahead / (ahead + behind), precise in both tails, by a table."""
    nodes = np.linspace(-FARTHEST, 0.0, STEPS)
    rarer = np.maximum(np.minimum(ahead, behind), LEAST) / np.maximum(ahead + behind, LEAST)
    z = np.interp(np.log(rarer), estimates.log_cdf(nodes), nodes)
    return np.asarray(np.where(ahead < behind, z, -z), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ByLabel:
    """d' and c by what the advice said."""

    told_same: Sensitivity  # after the advice "same"
    told_different: Sensitivity  # after the advice "different"
    # told_different less told_same, after the advice. About 0 in c is healthy, above 0 is leaning to the machine.
    shift: Difference
    shift_before: Difference  # the same before the advice was shown: what the choice of pairs alone makes


@dataclass(frozen=True, slots=True)
class AdviceGain:
    """The gain of people from the advice, over all pairs: after less before, with posteriors as of the net shift."""

    before: Sensitivity
    after: Sensitivity
    dprime: Estimate
    criterion: Estimate


@dataclass(frozen=True, slots=True)
class Aided:
    """Trials with advice."""

    before: I64  # i64[n], ratings before the advice; above 0 says "same", 0 is undecided
    after: I64  # i64[n], ratings after it
    mated: Bools  # bool[n], truth
    aid_same: Bools  # bool[n], what the advice said

    def __post_init__(self) -> None:
        check_ratings(self.before, self.mated)
        check_ratings(self.after, self.mated)
        if self.aid_same.shape != self.mated.shape or self.aid_same.dtype != np.bool_:
            raise ValueError(f"{len(self.mated)} trials need as many booleans of advice.")

    def cells(self) -> list[tuple[float, Bools]]:
        """The trials of each label and truth, bool[n], and the weight of their z in the shift of c."""
        return [
            (0.5 if label else -0.5, (self.mated == truth) & (self.aid_same == label))
            for label in (True, False)
            for truth in (True, False)
        ]

    def counts(self, chosen: Bools) -> PairedCounts:
        """The counts of the chosen trials, bool[n]."""
        first, last = self.before[chosen] > 0, self.after[chosen] > 0
        cells = (first & last, first & ~last, ~first & last, ~first & ~last)
        return PairedCounts(*(int(cell.sum()) for cell in cells))


def by_label(trials: Aided) -> ByLabel:
    """Measure d' and c under each label, of one person or of many together.

    Raises:
        UndefinedRate: one of the two labels came with no mated or no non-mated pair.
    """

    def of(ratings: I64, chosen: Bools) -> Sensitivity:
        return sensitivity(*signal_counts(ratings[chosen], trials.mated[chosen]))

    same, different = of(trials.after, trials.aid_same), of(trials.after, ~trials.aid_same)
    before = difference(of(trials.before, ~trials.aid_same), of(trials.before, trials.aid_same))
    return ByLabel(same, different, difference(different, same), before)


def net_shift(trials: Aided) -> float:
    """How far the advice moved the criterion of one person, or of many together, in units of d'; above 0 to itself.

    It is `ByLabel.shift` less `shift_before`, of c: minus half the sum of z, and of "different" less "same".

    Raises:
        UndefinedRate: one of the two labels came with no mated or no non-mated pair.
    """
    moved = 0.0
    for weight, here in trials.cells():
        total = int(here.sum())
        if not total:
            raise UndefinedRate(message("undefined.label_without_pairs"))
        before, after = (int((ratings[here] > 0).sum()) for ratings in (trials.before, trials.after))
        moved += weight * (z_rate(after, total) - z_rate(before, total))
    return moved


def automation_bias(trials: Aided, rng: np.random.Generator, *, draws: int = DRAWS) -> Estimate:
    """`net_shift` with its uncertainty, from `draws` of a posterior that knows that the same pairs were judged twice.

    At least 2 draws. Of fewer than some ten pairs of a truth and a label the interval errs to the wide side.

    Raises:
        UndefinedRate: one of the two labels came with no mated or no non-mated pair.
    """
    moved = net_shift(trials)
    return _estimate(
        moved, drawn_change([(weight, trials.counts(here)) for weight, here in trials.cells()], rng, draws)
    )


def advice_gain(trials: Aided, rng: np.random.Generator) -> AdviceGain:
    """Measure what the advice did to d' and c over all pairs; arguments and errors are those of `automation_bias`."""
    before, after = (sensitivity(*signal_counts(ratings, trials.mated)) for ratings in (trials.before, trials.after))
    mates, others = trials.counts(trials.mated), trials.counts(~trials.mated)

    def of(moved: float, weight_mates: float, weight_others: float) -> Estimate:
        return _estimate(moved, drawn_change([(weight_mates, mates), (weight_others, others)], rng, DRAWS))

    return AdviceGain(
        before,
        after,
        of(after.dprime.value - before.dprime.value, 1.0, -1.0),
        of(after.criterion.value - before.criterion.value, -0.5, -0.5),
    )


def misled(trials: Aided) -> Rate:
    """P(wrong after | the advice was wrong, and right before): how often wrong advice talks people out of being right.

    Raises:
        UndefinedRate: there is no trial with wrong advice that was right before.
    """
    asked = (trials.aid_same != trials.mated) & _right(trials.before, trials.mated)
    return _switched(asked, _right(trials.after, ~trials.mated))


def helped(trials: Aided) -> Rate:
    """P(right after | the advice was right, and not right before): how often right advice corrects an answer.

    Raises:
        UndefinedRate: there is no trial with right advice that was not right before.
    """
    asked = (trials.aid_same == trials.mated) & ~_right(trials.before, trials.mated)
    return _switched(asked, _right(trials.after, trials.mated))


def _right(ratings: I64, mated: Bools) -> Bools:
    """bool[n]: decided, and as `mated` says."""
    return np.asarray(np.where(mated, ratings > 0, ratings < 0), dtype=np.bool_)


def _switched(asked: Bools, after: Bools) -> Rate:
    if not asked.any():
        raise UndefinedRate(message("undefined.nothing_to_switch"))
    return rate(int((asked & after).sum()), int(asked.sum()))


def _estimate(value: float, drawn: F64) -> Estimate:
    low, high = np.quantile(drawn, estimates.ENDS)
    return Estimate(value, float(drawn.std(ddof=1)), float(low), float(high))
