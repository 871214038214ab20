"""Aided: two photos, rated before and after the machine's opinion, which may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np

from fr_training.answers import Answer, PairRating
from fr_training.exercises import pairs
from fr_training.exercises.checks import require_answer
from fr_training.exercises.protocol import Graded
from fr_training.exercises.reading import answer_at, key_as, require_done, require_step
from fr_training.keys import AnswerKey, PairKey
from fr_training.prompts import Advice, ExerciseKind, Prompt, Reveal, Step
from fr_training.trials import Locked

# Both fillings have ten letters and spaces, so that the size of a message does not tell which it holds.
_SAME: Final = "one person"
_DIFFERENT: Final = "two people"


def advice(same: bool) -> Advice:
    """The machine's opinion as a trainee reads it; the text is equally long for both."""
    leaning = _SAME if same else _DIFFERENT
    return Advice(same, f"The machine leans towards: {leaning}. It can be wrong; decide for yourself.")


class Aided:
    """Two photos and an opinion. Its methods are those of `fr_training.exercises.protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.AIDED
    steps: ClassVar[tuple[Step, ...]] = (Step.RATE, Step.RATE_AGAIN)
    instructions: ClassVar[str] = (
        "You see two photos. Do they show one person, or two people? When your rating is locked, the machine says what "
        "it leans towards, and you rate again. The machine can be wrong: keep your rating or change it, as the photos "
        f"tell you. {pairs.RATING_SCALE}"
    )

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw which photo is shown first."""
        return pairs.shuffled(photos, rng)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """Both photos, and at RATE_AGAIN the key's advice; nothing else is taken from the key."""
        require_step(step, self.steps)
        opinion = advice(_advice_same(key_as(key, PairKey))) if step == Step.RATE_AGAIN else None
        return Prompt(self.kind, step, pairs.compared(picture_ids), advice=opinion)

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let a `PairRating` pass; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """What the last rating is worth; the advice counts as given once the first rating is locked."""
        key = key_as(key, PairKey)
        before = answer_at(locked, Step.RATE, PairRating)
        seen = None if before is None else _advice_same(key)
        return pairs.graded(key, answer_at(locked, Step.RATE_AGAIN, PairRating), before, seen)

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Whether both photos show one person, and whether the machine's opinion was right."""
        require_done(locked, self.steps)
        key = key_as(key, PairKey)
        after = f" The machine's opinion was {'right' if _advice_same(key) == key.mated else 'wrong'}."
        return pairs.revealed(key, self.grade(key, locked, order, picture_ids), after)


def _advice_same(key: PairKey) -> bool:
    if key.advice_same is None:
        raise ValueError("an aided item has an advice")
    return key.advice_same
