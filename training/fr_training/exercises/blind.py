"""Blind verification: a pair that another trainee has judged, rated without sight of that opinion."""

from __future__ import annotations

from typing import Final

from fr_training.exercises.pairs import RATING_SCALE, RatedPair
from fr_training.prompts import ExerciseKind

BLIND: Final = RatedPair(
    ExerciseKind.BLIND,
    "You see two photos that another trainee judges as well. You do not see that opinion, and must not ask for it: two "
    "opinions are worth more than one only while each stands on its own. Do the photos show one person, or two people? "
    f"{RATING_SCALE}",
)
