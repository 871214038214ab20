"""Verification: two photos, one person or two?"""

from __future__ import annotations

from typing import Final

from fr_training.exercises.pairs import RATING_SCALE, RatedPair
from fr_training.prompts import ExerciseKind

VERIFICATION: Final = RatedPair(
    ExerciseKind.VERIFICATION,
    "You see two photos. Do they show one person, or two people? Compare one part of the face after the other before "
    f"you judge the whole. {RATING_SCALE}",
)
