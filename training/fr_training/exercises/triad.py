"""Defines the triad: three photos, two of one person; a trainee finds the odd one out, without a lean to "same"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fr_locales.messages import Message, message
from fr_training.answers import Answer, OddOneOut
from fr_training.exercises.checks import require_answer
from fr_training.exercises.pairs import OPENING, compared_pictures, shuffled
from fr_training.exercises.protocol import Graded, answer_at, key_as, require_done, require_step
from fr_training.keys import AnswerKey, TriadKey
from fr_training.prompts import ExerciseKind, Prompt, Reveal, Step
from fr_training.trials import Locked


class Triad:
    """Three photos, one choice. Its methods are those of `fr_training.exercises.protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.TRIAD
    steps: ClassVar[tuple[Step, ...]] = (Step.CHOOSE,)
    instructions: ClassVar[Message] = message("instructions.triad")

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw the order of the three."""
        return shuffled(photos, rng)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """All three photos; nothing is taken from the key."""
        require_step(step, self.steps)
        return Prompt(self.kind, step, compared_pictures(picture_ids))

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let an `OddOneOut` pass that names one of the three; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer, picture_ids)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """Grade the choice; photos are counted as in the item, not as shown."""
        key = key_as(key, TriadKey)
        choice = answer_at(locked, Step.CHOOSE, OddOneOut)
        odd = None if choice is None else order[picture_ids.index(choice.picture_id)]
        return Graded(
            truth=f"odd:{key.odd}",
            answer="" if odd is None else f"odd:{odd}",
            correct=None if odd is None else odd == key.odd,
            machine=f"odd:{key.machine_odd}",
        )

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Tell which photo shows another person, counted from 1 as they were shown."""
        require_done(locked, self.steps)
        shown = list(order).index(key_as(key, TriadKey).odd)
        correct = self.grade(key, locked, order, picture_ids).correct
        text = message("reveal.odd", opening=OPENING[correct is True], number=shown + 1)
        return Reveal(correct, text, picture_id=picture_ids[shown])
