"""Adaptive blocks: the next pair is as hard as it must be for the trainee to be right as often as the plan wants.

Model: the three-parameter logistic with a guess rate of one half, P = g + (1 - g) s(theta - b), g = 1/2 (A. Birnbaum,
in F. M. Lord and M. R. Novick, "Statistical Theories of Mental Test Scores", 1968); the ability theta is estimated as
the mean of its posterior after every answer (R. D. Bock and R. J. Mislevy, Applied Psychological Measurement 6, 1982,
431-444), and the item is taken whose difficulty b is nearest to theta less the offset of the wanted P.

Whether the next pair shows one person or two depends on no answer: it is drawn before the block begins, so that it
tells nothing, and only the difficulty within that class follows the trainee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_training.courses import Item
from fr_training.keys import PairKey
from fr_training.sessions.ids import digest
from fr_training.statistics.item_response import closest, eap, offset_for

GUESS_RATE = 0.5
"""Of a pair: one of two answers."""

PRIOR_SD = 2.0
"""Of ability, about the mean difficulty of the items. Nobody knows beforehand how far trainees are spread on the scale
that the items are standardised on; twice the spread of the items lets an ability of 2 be reached within some 20 trials,
where a prior of 1 is still drawn to the middle after 40 (simulated, `tests/property/test_sessions_adaptive.py`)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A pair of the block and what became of it.

    Attributes:
        item: of the form.
        right: whether the answer was right; one that says neither is not right.
    """

    item: Item
    right: bool


def class_order(secret: bytes, block_id: str, same: int, different: int, trials: int) -> tuple[bool, ...]:
    """Draw which trials of a block show one person.

    Args:
        secret: of the session.
        block_id: of the plan.
        same: pairs of one person in the form.
        different: pairs of two people in the form.
        trials: of the block, `same + different` at most.

    Returns:
        For each trial whether it shows one person: as large a share as in the form; where that leaves a fraction of a
        trial, it is drawn as well.
    """
    share = trials * same / (same + different)
    whole = int(share)
    draw = int.from_bytes(digest(secret, "class-share", block_id)[:8], "big") / 2**64
    mated = whole + (draw < share - whole)
    # Eight bytes for each place, four places in a digest.
    keys = b"".join(digest(secret, "class", block_id, n) for n in range(-(-trials // 4)))
    places = sorted(range(trials), key=lambda n: keys[8 * n : 8 * n + 8])
    chosen = frozenset(places[:mated])
    return tuple(n in chosen for n in range(trials))


def ability(answered: Sequence[Answered]) -> float:
    """Ability after the answers of the block, on the scale of difficulties; 0, the prior's mean, where there are none.

    An undecided rating counts as wrong, as it says that the trainee does not know; the model takes no half answers.
    """
    b = np.array([difficulty(one.item) for one in answered], np.float64)
    right = np.array([one.right for one in answered], np.bool_)
    return eap(b, right, GUESS_RATE, sd=PRIOR_SD).theta


def nearest(unused: Sequence[Item], answered: Sequence[Answered], mated: bool, target: float) -> list[Item]:
    """The items that may be shown next.

    Args:
        unused: items of the form that the block has not shown.
        answered: the trials of the block that count.
        mated: whether the next pair is to show one person.
        target: share of right answers that is aimed at, in (.5, 1).

    Returns:
        Those of that class whose difficulty is nearest to what is wanted, several where they are equally hard; of the
        other class where that one is used up; none where all are.
    """
    of_class = [item for item in unused if is_mated(item) == mated] or list(unused)
    if not of_class:
        return []
    b = np.array([difficulty(item) for item in of_class], np.float64)
    best = b[closest(b, ability(answered) - offset_for(target, GUESS_RATE))]
    return [item for item, hard in zip(of_class, b, strict=True) if hard == best]


def is_mated(item: Item) -> bool:
    """True if an item is a pair of one person."""
    return isinstance(item.key, PairKey) and item.key.mated


def difficulty(item: Item) -> float:
    """Of an item; one without is as hard as the mean of its kind, which is 0 by definition."""
    return 0.0 if item.b is None else item.b
