"""Ability of one trainee, from right and wrong answers to items of known difficulty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fr_training.grading.values import Maybe, Undefined
from fr_training.results import Result
from fr_training.statistics.item_response import Ability, eap


def ability(results: Sequence[Result], guessing: float) -> Maybe[Ability]:
    """The expected ability under a standard normal prior; an answer that is not right counts as wrong.

    Args:
        results: judged, of one trainee; those whose item has no difficulty are left out.
        guessing: chance of guessing right, in [0, 1).
    """
    placed = [one for one in results if one.b is not None]
    if not placed:
        return Undefined("No answered item has a known difficulty.")
    if len({one.trainee_id for one in results}) > 1:
        return Undefined("An ability is that of one trainee.")
    b = np.array([one.b for one in placed], dtype=np.float64)
    return eap(b, np.array([one.correct is True for one in placed], dtype=np.bool_), guessing)
