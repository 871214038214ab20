"""What a trainee's ratings have been worth as evidence, and which words they can carry.

The empirical likelihood ratio (LR) of a rating is how many times oftener pairs of one person were rated so than pairs
of two people. However sure a trainee is, few trials cannot show a large ratio: no words stronger than the largest
possible ratio, the ceiling, are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.likelihood import cllr, level_ratios, ratio_ceiling
from fr_core.training.answers import RATINGS
from fr_core.training.grading.values import Maybe, Undefined, unless_undefined
from fr_core.training.results import Result
from fr_core.types import I64

NO_SUPPORT = "no support either way"
UNUSED = "no words: this level was never used"
# The least ratio of each word. Source: ENFSI guideline for evaluative reporting in forensic science (2015), one of the
# verbal scales that it gives as examples [bounds from memory]; below 2 it has words that say hardly anything.
SCALE = (
    (2.0, "weak support"),
    (10.0, "moderate support"),
    (100.0, "moderately strong support"),
    (1_000.0, "strong support"),
    (10_000.0, "very strong support"),
    (1_000_000.0, "extremely strong support"),
)


@dataclass(frozen=True, slots=True)
class LevelEvidence:
    """A rating of the scale.

    Attributes:
        level: from -3 to 3.
        same: pairs of one person that were rated so.
        different: pairs of two people that were rated so.
        ratio: LR, above 0, half a trial added to each level; below 1 it speaks for two people.
        words: the strongest words that these trials carry.
    """

    level: int
    same: int
    different: int
    ratio: float
    words: str


@dataclass(frozen=True, slots=True)
class EvidenceFigures:
    """What the ratings have been worth.

    Attributes:
        levels: from 3 to -3.
        ceiling_same: the largest ratio for one person that so many trials can give, above 1.
        ceiling_different: the largest for two people, as 1 / LR.
        strongest_same: the words at that ceiling.
        strongest_different: likewise.
        refused: words that no rating here can carry, whatever the trainee feels, weakest first.
        cllr: cost of the ratios in bits, each trial with the ratio of its level in all other trials; 0 is perfect, 1
            says as much as no evidence, more misleads.
        stated_cllr: the same cost of the probabilities that the trainee stated, taken as odds where both were as likely
            beforehand.
    """

    levels: tuple[LevelEvidence, ...]
    ceiling_same: float
    ceiling_different: float
    strongest_same: str
    strongest_different: str
    refused: tuple[str, ...]
    cllr: Maybe[float]
    stated_cllr: Maybe[float]


def words_of(ratio: float) -> str:
    """The words for a ratio of at least 1."""
    return next((words for least, words in reversed(SCALE) if ratio >= least), NO_SUPPORT)


def evidence(pairs: Sequence[Result]) -> EvidenceFigures:
    """What the ratings of pairs have been worth.

    Args:
        pairs: rated, of known truth, as `fr_core.training.grading.splitting.pairs` selects them.

    Raises:
        UndefinedRate: there is no pair of one person, or none of two.
    """
    same, different = (_ratings(pairs, truth) for truth in ("same", "different"))
    ceiling_same = ratio_ceiling(len(same), len(different), len(RATINGS))
    ceiling_different = ratio_ceiling(len(different), len(same), len(RATINGS))
    levels = tuple(
        LevelEvidence(one.level, one.mated, one.nonmated, one.ratio, _words(one.mated + one.nonmated, one.ratio))
        for one in level_ratios(same, different, tuple(reversed(RATINGS)))
    )
    ceiling = max(ceiling_same, ceiling_different)
    return EvidenceFigures(
        levels,
        ceiling_same,
        ceiling_different,
        words_of(ceiling_same),
        words_of(ceiling_different),
        tuple(words for least, words in SCALE if least > ceiling),
        unless_undefined(lambda: _cllr_of_levels(same, different)),
        _stated_cllr(pairs),
    )


def _words(used: int, ratio: float) -> str:
    """Of a level; its ratio is below the ceiling anyway, and a level without trials has earned none."""
    if not used:
        return UNUSED
    words = words_of(max(ratio, 1 / ratio))
    if words == NO_SUPPORT:
        return words
    return f"{words} for {'one person' if ratio > 1 else 'two people'}"


def _ratings(pairs: Sequence[Result], truth: str) -> I64:
    return np.array([one.rating for one in pairs if one.truth == truth], dtype=np.int64)


def _cllr_of_levels(same: I64, different: I64) -> float:
    """Each trial is judged by the others, else a trial would be evidence for itself."""
    if len(same) < 2 or len(different) < 2:
        raise UndefinedRate("The cost of ratios needs two pairs of one person and two of two people.")
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
    stated = [one for one in pairs if one.p_same is not None]
    if any(one.p_same in (0.0, 1.0) for one in stated):
        return Undefined("A probability of 0 or 1 was stated, whose ratio is infinite.")
    return unless_undefined(lambda: cllr(_log_odds(stated, "same"), _log_odds(stated, "different")))


def _log_odds(stated: Sequence[Result], truth: str) -> F64:
    odds = [log10(one.p_same / (1 - one.p_same)) for one in stated if one.truth == truth and one.p_same is not None]
    return np.array(odds, dtype=np.float64)
