"""Candidate list: notes on the probe first, then the candidates of a search, without scores and in a drawn order.

The probe is described before anything else is seen, so that the candidates cannot colour what is seen in it (linear
sequential unmasking: Krane et al. 2008, Dror et al. 2015).
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
from fr_training.prompts import ExerciseKind, Prompt, Reveal, Role, ShownPicture, Step
from fr_training.trials import Locked

_PROBES = 1


class Candidates:
    """A probe and its candidates. Its methods are those of `fr_training.exercises.protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.CANDIDATES
    steps: ClassVar[tuple[Step, ...]] = (Step.NOTE, Step.DECIDE)
    instructions: ClassVar[str] = (
        "First you see one photo, the probe: note what you see in the face, and what the photo does not let you see. "
        "When the notes are locked you see the candidates that a search for it has found. Compare each with the probe "
        f"and with your notes. {lists.LIST_SCALE}"
    )

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw the order of the candidates; the probe stays first."""
        return shuffled(photos, rng, first=_PROBES)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """At NOTE the probe alone, at DECIDE the candidates too; nothing is taken from the key."""
        require_step(step, self.steps)
        probe = tuple(ShownPicture(picture_id, Role.PROBE) for picture_id in picture_ids[:_PROBES])
        shown = () if step == Step.NOTE else lists.candidates(picture_ids[_PROBES:])
        return Prompt(self.kind, step, probe + shown)

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let `Notes` pass at NOTE and a `ListDecision` at DECIDE; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer, picture_ids[_PROBES:])

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """What the decision is worth; candidates are counted from 0 as in the item, not as shown."""
        decision = answer_at(locked, Step.DECIDE, ListDecision)
        return lists.graded(key_as(key, ListKey), decision, lists.indices(picture_ids, order, _PROBES))

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Whether the person searched for was among the candidates, where, and how similar the machine found each."""
        require_done(locked, self.steps)
        decision = answer_at(locked, Step.DECIDE, ListDecision)
        return lists.revealed(key_as(key, ListKey), decision, lists.indices(picture_ids, order, _PROBES))
