"""Defines the exercise of features: two photos, compared by component, then rated as a whole (Towler 2017, 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fr_locales.messages import Message, message
from fr_training.answers import MAX_SIMILARITY, Answer, PairRating
from fr_training.exercises import pairs
from fr_training.exercises.checks import COMPONENTS, require_answer
from fr_training.exercises.protocol import Graded, answer_at, key_as, require_done, require_step
from fr_training.keys import AnswerKey, PairKey
from fr_training.prompts import ExerciseKind, Prompt, Reveal, Step
from fr_training.trials import Locked


class Features:
    """Two photos by their components. Its methods are those of `fr_training.exercises.protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.FEATURES
    steps: ClassVar[tuple[Step, ...]] = (Step.OBSERVE, Step.RATE)
    instructions: ClassVar[Message] = message("instructions.features", most=MAX_SIMILARITY, scale=pairs.RATING_SCALE)

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw which photo is shown first."""
        return pairs.shuffled(photos, rng)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """Both photos, and at OBSERVE the components; nothing is taken from the key."""
        require_step(step, self.steps)
        components = COMPONENTS if step == Step.OBSERVE else ()
        return Prompt(self.kind, step, pairs.compared_pictures(picture_ids), components)

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let `Observations` pass at OBSERVE and a `PairRating` at RATE; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """Grade the rating; the observations have no right and no wrong."""
        return pairs.grade_pair(key_as(key, PairKey), answer_at(locked, Step.RATE, PairRating))

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Tell whether both photos show one person."""
        require_done(locked, self.steps)
        return pairs.reveal_pair(key_as(key, PairKey), self.grade(key, locked, order, picture_ids))
