"""Triage: one photo; can it be used for a comparison, with reserve, or not, and why?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from fr_training.answers import Answer, Degraded, Usability
from fr_training.answers import Triage as TriageGiven
from fr_training.exercises.checks import require_answer
from fr_training.exercises.pairs import compared, shuffled
from fr_training.exercises.protocol import Graded, answer_at, key_as, require_done, require_step
from fr_training.keys import AnswerKey, TriageKey
from fr_training.prompts import ExerciseKind, Prompt, Reveal, Step
from fr_training.trials import Locked

_TRUTH: Final[Mapping[Usability, str]] = {
    Usability.USABLE: "the photo can be used as it is",
    Usability.LIMITED: "the photo can be used with reserve",
    Usability.REJECT: "the photo is to be rejected",
}
_REASON: Final[Mapping[Degraded, str]] = {
    Degraded.BLUR: "it is blurred",
    Degraded.NOISE: "it is grainy",
    Degraded.RESOLUTION: "it has too few pixels",
    Degraded.COMPRESSION: "it was compressed too strongly",
    Degraded.OCCLUSION: "a part of the face is covered",
    Degraded.POSE: "the head is turned away",
}


class Triage:
    """One photo, judged by its quality. Its methods are those of `fr_training.exercises.protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.TRIAGE
    steps: ClassVar[tuple[Step, ...]] = (Step.TRIAGE,)
    instructions: ClassVar[str] = (
        "You see one photo. Could you compare the face with another photo: without reserve, with reserve because "
        "details are lost, or not at all? Unless it is usable without reserve, name what is wrong: blur, noise, too "
        "few pixels, compression, something that covers the face, or a head that is turned away. Judge the photo, not "
        "the person."
    )

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """There is one photo."""
        return shuffled(photos, rng)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """The photo; nothing is taken from the key."""
        require_step(step, self.steps)
        return Prompt(self.kind, step, compared(picture_ids))

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let a `fr_training.answers.Triage` pass; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """What the decision is worth: right is the same usability, whatever the reasons."""
        key = key_as(key, TriageKey)
        given = answer_at(locked, Step.TRIAGE, TriageGiven)
        return Graded(
            truth=key.usability,
            answer="" if given is None else given.usability,
            correct=None if given is None else given.usability == key.usability,
            reasons="" if given is None else "+".join(sorted(given.reasons)),
            degraded=key.degraded or "",
        )

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """How far the photo can be used, what was done to it, and whether the trainee saw that."""
        require_done(locked, self.steps)
        key = key_as(key, TriageKey)
        given = answer_at(locked, Step.TRIAGE, TriageGiven)
        correct = self.grade(key, locked, order, picture_ids).correct
        text = f"{'Right' if correct else 'Not right'}: {_TRUTH[key.usability]}"
        if key.degraded is None:
            return Reveal(correct, f"{text}.")
        missed = given is not None and given.reasons and key.degraded not in given.reasons
        return Reveal(correct, f"{text}, for {_REASON[key.degraded]}.{' You named another reason.' if missed else ''}")
