"""Own probe: a photo that the trainee sends, notes on it, then the candidates of a search for it.

The trainee has the probe and the server does not keep it, so that the pictures of the trial are the candidates alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fr_training.answers import Answer, ListDecision
from fr_training.exercises import lists
from fr_training.exercises.checks import require_answer
from fr_training.exercises.pairs import shuffled
from fr_training.exercises.protocol import Graded
from fr_training.exercises.reading import answer_at, key_as, require_done, require_step
from fr_training.keys import AnswerKey, ListKey
from fr_training.prompts import ExerciseKind, Prompt, Reveal, Step
from fr_training.trials import Locked

_PROBES = 0


class OwnProbe:
    """A photo of one's own and its candidates. Its methods are those of `protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.OWN_PROBE
    steps: ClassVar[tuple[Step, ...]] = (Step.SEND_PROBE, Step.NOTE, Step.DECIDE)
    instructions: ClassVar[str] = (
        "Send a photo of a face, the probe: it is searched for in the gallery of the course, and not kept. Note what "
        "you see in the face, and what the photo does not let you see. When the notes are locked you see the "
        f"candidates. Compare each with your photo and with your notes. {lists.LIST_SCALE}"
    )

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw the order of the candidates."""
        return shuffled(photos, rng, first=_PROBES)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """No picture before DECIDE, then all candidates; nothing is taken from the key."""
        require_step(step, self.steps)
        return Prompt(self.kind, step, lists.candidates(picture_ids) if step == Step.DECIDE else ())

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let `ProbeSent`, `Notes` and a `ListDecision` pass, each at its step; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer, picture_ids)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """What the decision is worth; candidates are counted from 0 as they were found, not as shown."""
        if key is None:
            return Graded(truth="", answer="", correct=None)
        decision = answer_at(locked, Step.DECIDE, ListDecision)
        return lists.graded(key_as(key, ListKey), decision, lists.indices(picture_ids, order, _PROBES))

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """What was right, where that is known, and how similar the machine found each candidate."""
        require_done(locked, self.steps)
        decision = answer_at(locked, Step.DECIDE, ListDecision)
        return lists.revealed(key_as(key, ListKey), decision, lists.indices(picture_ids, order, _PROBES))
