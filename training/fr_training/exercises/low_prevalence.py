"""Low prevalence: verification with few pairs of two people, in which these are easily missed (Papesh 2014).

Its instructions are those of any verification: to be told how rare a mismatch is would be an answer of its own.
"""

from __future__ import annotations

from typing import Final

from fr_training.exercises.pairs import RatedPair
from fr_training.exercises.verification import VERIFICATION
from fr_training.prompts import ExerciseKind

LOW_PREVALENCE: Final = RatedPair(ExerciseKind.LOW_PREVALENCE, VERIFICATION.instructions)
