"""Analyses items by people's answers: which separate the able from others, which mislead, and how hard each is.

An item that able people get wrong more often than others has a wrong key, shows two people who are one, or measures
something else. Source: F. M. Lord and M. R. Novick, "Statistical theories of mental test scores", Addison-Wesley
(1968), chapter 15; the item itself is left out of the total: S. Henrysson, "Correction of item-total correlations
in item analysis", Psychometrika 28 (1963) 211-218.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh, sqrt, tanh

import numpy as np

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate, rate
from fr_locales.messages import Message, message
from fr_training.statistics import estimates
from fr_training.statistics.item_response import mle

MIN_PEOPLE = 20  # at 20, the correlation of an item that tells nothing is off by .23
FEWEST = 4  # people from whom a correlation has an interval, 1 / sqrt(n - 3)
NOTHING = 1e-12  # of a variance: what is left of 0 by rounding


@dataclass(frozen=True, slots=True)
class ItemFigures:
    """The answers of people to one item."""

    people: int  # who answered it and some other item
    right: Rate | None  # share of right answers of all who answered it; None where nobody did
    # Of right answers with the share of right answers to all other items, in [-1, 1]; None if undefined.
    correlation: float | None
    low: float | None  # lower end of its interval; None if undefined
    high: float | None  # upper end; None if undefined
    note: Message  # why there is no correlation, where there is none


@dataclass(frozen=True, slots=True)
class Difficulty:
    """The difficulty of an item by people's answers."""

    b: float  # in logits, on the scale of the abilities
    sd: float  # standard error, or standard deviation of the posterior
    low: float
    high: float
    confidence: float
    people: int  # who answered


def item_figures(answers: F64) -> tuple[ItemFigures, ...]:
    """The share of right answers of each item and its corrected item-total correlation, in the order of the items.

    The correlation is that of Pearson, called point-biserial as one side is 0 or 1; its interval is Fisher's.

    Args:
        answers: f64[people, items]: 1 right, 0 wrong, NaN not answered or not counted.

    Raises:
        ValueError: shape or dtype differs from the above, or an answer is something else.
    """
    if answers.ndim != 2 or answers.dtype != np.float64 or not np.isin(answers[~np.isnan(answers)], [0.0, 1.0]).all():
        raise ValueError("Answers are f64[people, items], each 0, 1 or NaN.")
    given = ~np.isnan(answers)
    right = np.where(given, answers, 0.0)
    return tuple(_figures(item, right, given) for item in range(answers.shape[1]))


def below_guessing(right: int, wrong: int, guessing: float) -> bool:
    """True if fewer of MIN_PEOPLE people or more are right than by guessing, beyond chance: the key may be wrong.

    Wilson's 95 % interval of the share of right answers must lie below `guessing`, the share that guessing gives, in
    (0, 1). However hard an item is, a guesser does no worse. This finds a wrong key also where the able and others have
    the item wrong alike, which leaves the correlation near 0. The undecided tell nothing of the key.
    """
    decided = right + wrong
    return decided >= MIN_PEOPLE and rate(right, decided).interval.high < guessing


def human_difficulty(abilities: F64, right: Bools, g: float = 0.0) -> Difficulty:
    """The likeliest difficulty of an item, from the answers of people of known ability, in logits.

    In the model, ability and difficulty differ by their sign alone, so it is `mle` with the scale turned round;
    arguments and errors are those of `mle`.
    """
    found = mle(-abilities, right, g)
    return Difficulty(-found.theta, found.sd, -found.high, -found.low, DEFAULT_CONFIDENCE, len(right))


def _figures(item: int, right: F64, given: Bools) -> ItemFigures:
    answered = given[:, item]
    share = rate(int(right[answered, item].sum()), int(answered.sum())) if answered.any() else None
    others = given.sum(axis=1) - answered
    used = answered & (others > 0)
    people = int(used.sum())
    score = (right.sum(axis=1) - right[:, item])[used] / others[used]
    correlation = _correlation(right[used, item], score)
    few = people < FEWEST
    note = message("undefined.few_people", least=FEWEST) if few else message("undefined.answers_alike")
    if few or correlation is None:
        return ItemFigures(people, share, None, None, None, note)
    margin = estimates.Z / sqrt(people - 3)
    centre = atanh(min(max(correlation, -1.0 + NOTHING), 1.0 - NOTHING))
    return ItemFigures(people, share, correlation, tanh(centre - margin), tanh(centre + margin), note)


def _correlation(a: F64, b: F64) -> float | None:
    if len(a) == 0:
        return None
    a, b = a - a.mean(), b - b.mean()
    spread = sqrt(float(a @ a) * float(b @ b))
    if spread <= NOTHING * len(a):
        return None
    return min(1.0, max(-1.0, float(a @ b) / spread))
