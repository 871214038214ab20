"""The exercises: what is shown at which step, which answers it takes, what they are worth.

* `protocol` says what every exercise can do, and takes keys and answers as the type that an exercise works with;
  `exercise_of` finds one by its word in a plan;
* **two photos**: `pairs` (verification, low prevalence, blind, aided), `features` (by component);
* **three photos**: `triad`; **one photo**: `triage`; **lists**: `lists` (of a probe of the course, of an own photo);
* `checks` refuses answers that cannot be, and lists the components of a face.

An exercise holds no state. What it shows before an answer is locked depends on nothing that is right, but for the
advice of an aided trial, and is told nobody's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fr_training.exercises.features import Features
from fr_training.exercises.lists import Candidates, OwnProbe
from fr_training.exercises.pairs import BLIND, LOW_PREVALENCE, VERIFICATION, Aided
from fr_training.exercises.protocol import Exercise
from fr_training.exercises.triad import Triad
from fr_training.exercises.triage import Triage
from fr_training.prompts import ExerciseKind

_ALL: Final[tuple[Exercise, ...]] = (
    VERIFICATION,
    Triad(),
    Candidates(),
    Features(),
    Triage(),
    Aided(),
    LOW_PREVALENCE,
    BLIND,
    OwnProbe(),
)

EXERCISES: Final[Mapping[ExerciseKind, Exercise]] = MappingProxyType({exercise.kind: exercise for exercise in _ALL})
"""Every exercise, by its word in a plan; it cannot be changed."""


def exercise_of(kind: ExerciseKind) -> Exercise:
    """The exercise of a kind; there is one for each."""
    return EXERCISES[kind]
