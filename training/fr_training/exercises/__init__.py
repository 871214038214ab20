"""The exercises: what is shown at which step, which answers it takes, what they are worth.

* `exercise` says what every exercise can do; `exercise_of` finds one by its word in a plan;
* `photos` has those of pairs, triads and single photos, `lists` those of candidates, for a probe of the course or an
  own photo, `labs` those of questions about the machine and about evidence, and of lessons, and
  `questions` their words;
* `checks` refuses answers that cannot be, and lists the components of a face.

An exercise holds no state. Before an answer is locked it shows nothing that depends on what is right, but for the
advice of an aided trial, and nobody's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fr_locales.messages import message
from fr_training.answers import MAX_SIMILARITY
from fr_training.exercises.exercise import Exercise
from fr_training.exercises.labs import EvidenceExercise, LabExercise, LessonExercise
from fr_training.exercises.lists import Candidates, OwnProbe
from fr_training.exercises.photos import Aided, Features, Footage, RatedPair, Triad, Triage
from fr_training.prompts import ExerciseKind

_RATINGS: Final = message("instructions.rating_scale")
_LISTS: Final = message("instructions.list_scale")
_VERIFICATION: Final = message("instructions.verification", scale=_RATINGS)

_ALL: Final[tuple[Exercise, ...]] = (
    RatedPair(ExerciseKind.VERIFICATION, _VERIFICATION),
    Triad(ExerciseKind.TRIAD, message("instructions.triad")),
    Candidates(ExerciseKind.CANDIDATES, message("instructions.candidates", scale=_LISTS)),
    Features(ExerciseKind.FEATURES, message("instructions.features", most=MAX_SIMILARITY, scale=_RATINGS)),
    Triage(ExerciseKind.TRIAGE, message("instructions.triage")),
    Aided(ExerciseKind.AIDED, message("instructions.aided", scale=_RATINGS)),
    RatedPair(ExerciseKind.LOW_PREVALENCE, _VERIFICATION),
    RatedPair(ExerciseKind.BLIND, message("instructions.blind", scale=_RATINGS)),
    OwnProbe(ExerciseKind.OWN_PROBE, message("instructions.own_probe", scale=_LISTS)),
    LabExercise(ExerciseKind.LAB, message("instructions.lab")),
    EvidenceExercise(ExerciseKind.EVIDENCE, message("instructions.evidence")),
    LessonExercise(ExerciseKind.LESSON, message("instructions.lesson")),
    Footage(ExerciseKind.FOOTAGE, message("instructions.footage", scale=_RATINGS)),
)

EXERCISES: Final[Mapping[ExerciseKind, Exercise]] = MappingProxyType({exercise.kind: exercise for exercise in _ALL})
"""Every exercise, by its word in a plan; it cannot be changed."""


def exercise_of(kind: ExerciseKind) -> Exercise:
    """The exercise of a kind; there is one for each."""
    return EXERCISES[kind]
