"""Measures a trainee's ratings as evidence, and finds the words that they can carry.

The empirical likelihood ratio (LR) of a rating says how many times more often pairs of one person got it than pairs of
two people. Few trials cannot show a large ratio, however sure a trainee is. So the words go by the end of the ratio's
interval that is nearer to 1, and words that even the largest possible ratio, the ceiling, could not carry are refused.
The ratings of several trainees of the same pairs are not trials of one examiner, and carry no words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log, log10, sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate, wilson_interval
from fr_core.scoring.likelihood import LevelRatio, cllr, level_ratios, ratio_ceiling
from fr_core.types import I64
from fr_locales.messages import Message, Written, message
from fr_training.answers import RATINGS
from fr_training.grading.values import Maybe, Undefined, unless_undefined
from fr_training.trials import Result

NO_SUPPORT = message("support.none")
UNUSED = message("support.unused")
POOLED = message("support.pooled")
# The least ratio of each word. Source: ENFSI guideline for evaluative reporting in forensic science (2015), one of the
# verbal scales that it gives as examples [bounds from memory]; below 2 it has words that say hardly anything.
SCALE = (
    (2.0, message("support.weak")),
    (10.0, message("support.moderate")),
    (100.0, message("support.moderately_strong")),
    (1_000.0, message("support.strong")),
    (10_000.0, message("support.very_strong")),
    (1_000_000.0, message("support.extremely_strong")),
)


@dataclass(frozen=True, slots=True)
class LevelEvidence:
    """A rating of the scale."""

    level: int  # from -3 to 3
    same: int  # pairs of one person that were rated so
    different: int  # pairs of two people that were rated so
    ratio: float  # LR, above 0, half a trial added to each level; below 1 it speaks for two people
    low: float | None  # lower end of its 95 % interval; None for the answers of several trainees, which go together
    high: float | None  # upper end, likewise, and None where no pair of two people was rated so, which sets no bound
    words: Message  # the strongest words that these trials carry, by the end of the interval that is nearer to 1


@dataclass(frozen=True, slots=True)
class EvidenceFigures:
    """The value of ratings as evidence."""

    levels: tuple[LevelEvidence, ...]  # from 3 to -3
    trainees: int  # whose ratings these are
    ceiling_same: float  # the largest ratio for one person that so many different pairs can give, above 1
    ceiling_different: float  # the largest for two people, as 1 / LR
    least_same: float  # the lower end of the interval of a ratio at that ceiling
    least_different: float  # likewise
    strongest_same: Message | str  # the words at that lower end; "" for several trainees
    strongest_different: Message | str  # likewise
    refused: tuple[Message, ...]  # words that no rating here can carry, whatever the trainee feels, weakest first
    # Cost of the ratios in bits, each trial with the ratio of its level in all other trials; 0 is perfect, 1 says as
    # much as no evidence, more misleads.
    cllr: Maybe[float]
    # The same cost of the probabilities that the trainee stated, taken as odds where both were as likely beforehand;
    # without those of exactly 0 or 1, whose ratio is infinite.
    stated_cllr: Maybe[float]
    stated_certain: int  # probabilities of exactly 0 or 1
    stated_certain_wrong: int  # of them, those that were wrong; each would cost without bound


def ratio_text(value: float) -> Written:
    """A ratio to three digits, such as 2.33, 21 or 1,000."""
    return Written(f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}")


def words_of(ratio: float) -> Message:
    """The words for a ratio of at least 1."""
    return next((words for least, words in reversed(SCALE) if ratio >= least), NO_SUPPORT)


def evidence(pairs: Sequence[Result]) -> EvidenceFigures:
    """Measure ratings, as `values.pairs` selects them, as evidence.

    Raises:
        UndefinedRate: there are not both kinds of pairs, or an adaptive block chose some of them.
    """
    if any(one.adaptive for one in pairs):
        raise UndefinedRate(message("undefined.adaptive"))
    same, different = (_ratings(pairs, truth) for truth in ("same", "different"))
    alone = len({one.trainee_id for one in pairs}) == 1
    shown = [len({(one.form, one.item_id) for one in pairs if one.truth == truth}) for truth in ("same", "different")]
    ceiling_same = ratio_ceiling(shown[0], shown[1], len(RATINGS))
    ceiling_different = ratio_ceiling(shown[1], shown[0], len(RATINGS))
    ratios = level_ratios(same, different, tuple(reversed(RATINGS)))
    least_same, _ = interval_of_ratio(LevelRatio(3, shown[0], 0, ceiling_same), shown[0], shown[1])
    least_different, _ = interval_of_ratio(LevelRatio(-3, shown[1], 0, ceiling_different), shown[1], shown[0])
    least = max(least_same, least_different)
    return EvidenceFigures(
        levels=tuple(_level(one, len(same), len(different), alone=alone) for one in ratios),
        trainees=len({one.trainee_id for one in pairs}),
        ceiling_same=ceiling_same,
        ceiling_different=ceiling_different,
        least_same=least_same,
        least_different=least_different,
        strongest_same=words_of(least_same) if alone else "",
        strongest_different=words_of(least_different) if alone else "",
        refused=tuple(words for bound, words in SCALE if bound > least) if alone else (),
        cllr=unless_undefined(lambda: _cllr_of_levels(same, different)),
        stated_cllr=_stated_cllr(pairs),
        stated_certain=sum(one.p_same in (0.0, 1.0) for one in pairs),
        stated_certain_wrong=sum(one.p_same == (0.0 if one.truth == "same" else 1.0) for one in pairs),
    )


def interval_of_ratio(found: LevelRatio, mated: int, nonmated: int) -> tuple[float, float]:
    """The 95 % interval of a level's ratio, from Wilson's intervals of the two shares on the logarithmic scale.

    Source: G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general approach",
    Statistics in Medicine 27 (2008) 1693-1702, for a ratio of shares. The end that is nearer to 1 is always bounded;
    the ends are 0 and infinity where no trial bounds them. `mated` and `nonmated` are the trials of all levels.
    """
    levels = len(RATINGS)
    shares = (found.mated + 0.5) / (mated + levels / 2), (found.nonmated + 0.5) / (nonmated + levels / 2)
    own, other = wilson_interval(found.mated, mated), wilson_interval(found.nonmated, nonmated)
    centre = log(found.ratio)

    def beyond(one: tuple[float, float], two: tuple[float, float]) -> float:
        """Distance of an end from the centre; each argument is a share and the end of its interval."""
        if not (one[1] and two[1]):
            return inf
        return sqrt(log(one[0] / one[1]) ** 2 + log(two[0] / two[1]) ** 2)

    return (
        exp(centre - beyond((shares[0], own.low), (shares[1], other.high))),
        exp(centre + beyond((shares[0], own.high), (shares[1], other.low))),
    )


def _level(found: LevelRatio, mated: int, nonmated: int, *, alone: bool) -> LevelEvidence:
    """The evidence of a level; one without trials has no words."""
    used = found.mated + found.nonmated
    low, high = interval_of_ratio(found, mated, nonmated)
    words = POOLED if not alone else _words(low, high) if used else UNUSED
    bounded = alone and high < inf
    return LevelEvidence(
        level=found.level,
        same=found.mated,
        different=found.nonmated,
        ratio=found.ratio,
        low=low if alone else None,
        high=high if bounded else None,
        words=words,
    )


def _words(low: float, high: float) -> Message:
    """The words by the end of the interval that is nearer to 1."""
    if (words := words_of(low)) != NO_SUPPORT:
        return message("support.for_one_person", support=words)
    if (words := words_of(1 / high)) != NO_SUPPORT:
        return message("support.for_two_people", support=words)
    return NO_SUPPORT


def _ratings(pairs: Sequence[Result], truth: str) -> I64:
    return np.array([one.rating for one in pairs if one.truth == truth], dtype=np.int64)


def _cllr_of_levels(same: I64, different: I64) -> float:
    """Each trial is judged by the others, else a trial would be evidence for itself."""
    if len(same) < 2 or len(different) < 2:
        raise UndefinedRate(message("undefined.cost_of_ratios"))
    return cllr(_log_ratios(same, different), -_log_ratios(different, same))


def _log_ratios(own: I64, other: I64) -> F64:
    """f64[n]: of each of n trials, log10 of the ratio own / other of its level, that trial left out."""
    logs = np.empty(len(own))
    for level in np.unique(own).tolist():
        here = own == level
        others = np.delete(own, np.flatnonzero(here)[0])
        logs[here] = log10(level_ratios(others, other, RATINGS)[RATINGS.index(level)].ratio)
    return logs


def _stated_cllr(pairs: Sequence[Result]) -> Maybe[float]:
    stated = [one for one in pairs if one.p_same is not None and one.p_same not in (0.0, 1.0)]
    if not stated and any(one.p_same is not None for one in pairs):
        return Undefined(message("undefined.certain_only"))
    return unless_undefined(lambda: cllr(_log_odds(stated, "same"), _log_odds(stated, "different")))


def _log_odds(stated: Sequence[Result], truth: str) -> F64:
    odds = [log10(one.p_same / (1 - one.p_same)) for one in stated if one.truth == truth and one.p_same is not None]
    return np.array(odds, dtype=np.float64)
