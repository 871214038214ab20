"""Defines triage: a trainee judges whether one photo can be used for a comparison, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from fr_locales.messages import Message, message
from fr_training.answers import Answer, Degraded, Usability
from fr_training.answers import Triage as TriageGiven
from fr_training.exercises.checks import require_answer
from fr_training.exercises.pairs import OPENING, compared_pictures, shuffled
from fr_training.exercises.protocol import Graded, answer_at, key_as, require_done, require_step
from fr_training.keys import AnswerKey, TriageKey
from fr_training.prompts import ExerciseKind, Prompt, Reveal, Step
from fr_training.trials import Locked

_TRUTH: Final[Mapping[Usability, Message]] = {
    Usability.USABLE: message("triage.usable"),
    Usability.LIMITED: message("triage.limited"),
    Usability.REJECT: message("triage.reject"),
}
_REASON: Final[Mapping[Degraded, Message]] = {
    Degraded.BLUR: message("triage.blur"),
    Degraded.NOISE: message("triage.noise"),
    Degraded.RESOLUTION: message("triage.resolution"),
    Degraded.COMPRESSION: message("triage.compression"),
    Degraded.OCCLUSION: message("triage.occlusion"),
    Degraded.POSE: message("triage.pose"),
}


class Triage:
    """One photo, judged by its quality. Its methods are those of `fr_training.exercises.protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.TRIAGE
    steps: ClassVar[tuple[Step, ...]] = (Step.TRIAGE,)
    instructions: ClassVar[Message] = message("instructions.triage")

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """There is one photo."""
        return shuffled(photos, rng)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """The photo; nothing is taken from the key."""
        require_step(step, self.steps)
        return Prompt(self.kind, step, compared_pictures(picture_ids))

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let a `fr_training.answers.Triage` pass; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """Grade the decision: the same usability is right, and reasons do not count."""
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
        """Tell how usable the photo is, what was done to it, and whether the trainee saw that."""
        require_done(locked, self.steps)
        key = key_as(key, TriageKey)
        given = answer_at(locked, Step.TRIAGE, TriageGiven)
        correct = self.grade(key, locked, order, picture_ids).correct
        opening, usability = OPENING[correct is True], _TRUTH[key.usability]
        if key.degraded is None:
            return Reveal(correct, message("reveal.triage", opening=opening, usability=usability))
        reason = _REASON[key.degraded]
        if given is not None and given.reasons and key.degraded not in given.reasons:
            text = message("reveal.triage_other_reason", opening=opening, usability=usability, reason=reason)
            return Reveal(correct, text)
        return Reveal(correct, message("reveal.triage_because", opening=opening, usability=usability, reason=reason))
