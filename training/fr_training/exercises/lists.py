"""Defines the exercises on candidate lists: of a probe from the course, and of the trainee's own photo.

The trainee describes the probe before anything else is shown, so that the candidates cannot colour the description
(linear sequential unmasking: Krane et al. 2008, Dror et al. 2015). The server does not keep an own probe, so that the
pictures of that trial are the candidates alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from fr_locales.messages import Message, message
from fr_training.answers import Answer, ListChoice, ListDecision
from fr_training.exercises.checks import require_answer
from fr_training.exercises.pairs import OPENING, shuffled
from fr_training.exercises.protocol import Graded, answer_at, key_as, require_done, require_step
from fr_training.keys import AnswerKey, ListKey
from fr_training.prompts import ExerciseKind, Prompt, Reveal, Role, ShownPicture, Step
from fr_training.trials import Locked

ABSENT: Final = "absent"
NONE: Final = "none"
INCONCLUSIVE: Final = "inconclusive"

LIST_SCALE: Final = message("instructions.list_scale")
"""The text about decisions on lists, the same for both exercises."""

_OPENING: Final[Mapping[bool | None, Message]] = {**OPENING, None: message("reveal.inconclusive")}


def candidate_pictures(picture_ids: Sequence[str]) -> tuple[ShownPicture, ...]:
    """Pictures of candidates, in the order in which they are shown."""
    return tuple(ShownPicture(picture_id, Role.CANDIDATE) for picture_id in picture_ids)


def indices(picture_ids: Sequence[str], order: Sequence[int], probes: int) -> dict[str, int]:
    """Say which candidate each picture shows.

    Args:
        picture_ids: by shown position, the probe's first where it is among them.
        order: shown position -> index in the item's photos.
        probes: photos of the item before its candidates: 1, or 0 for an own probe.

    Returns:
        Picture id -> index in `ListKey.similarities`, in the order in which the candidates are shown.
    """
    pairs = zip(picture_ids[probes:], order[probes:], strict=True)
    return {picture_id: index - probes for picture_id, index in pairs}


def grade_list(key: ListKey, decision: ListDecision | None, index_of: Mapping[str, int]) -> Graded:
    """Grade a decision on a list.

    The candidate who is searched for is right, or "none" if the list does not hold the person. "inconclusive" is
    neither right nor wrong, and neither is any answer if the truth is unknown. The machine answers the most similar
    candidate, the first of equals, and ranks the mate in the same way.
    """
    answer = _answer(decision, index_of)
    if key.scored:
        truth = ABSENT if key.mate is None else f"mate:{key.mate}"
        right = NONE if key.mate is None else f"candidate:{key.mate}"
    else:
        truth = right = ""
    ranked = sorted(range(len(key.similarities)), key=lambda index: -key.similarities[index])
    return Graded(
        truth=truth,
        answer=answer,
        correct=answer == right if key.scored and answer not in ("", INCONCLUSIVE) else None,
        machine=f"candidate:{ranked[0]}" if ranked else "",
        mate_rank=ranked.index(key.mate) + 1 if key.scored and key.mate is not None else None,
        candidates=len(key.similarities),
    )


def reveal_list(key: ListKey, decision: ListDecision | None, index_of: Mapping[str, int]) -> Reveal:
    """Tell what was right about a list: candidates are counted from 1, as shown; similarities are always told."""
    correct = grade_list(key, decision, index_of).correct
    similarities = {picture_id: key.similarities[index] for picture_id, index in index_of.items()}
    if not key.scored:
        return Reveal(None, message("reveal.unknown"), similarities)
    opening = _OPENING[correct]
    if key.mate is None:
        return Reveal(correct, message("reveal.absent", opening=opening), similarities)
    shown = list(index_of.values()).index(key.mate)
    text = message("reveal.mate", opening=opening, number=shown + 1)
    return Reveal(correct, text, similarities, list(index_of)[shown])


def _answer(decision: ListDecision | None, index_of: Mapping[str, int]) -> str:
    if decision is None:
        return ""
    if decision.choice == ListChoice.CANDIDATE:
        if decision.picture_id is None:
            raise ValueError("a decision for a candidate names its picture")
        return f"candidate:{index_of[decision.picture_id]}"
    return NONE if decision.choice == ListChoice.NONE else INCONCLUSIVE


_ONE_PROBE = 1


class Candidates:
    """A probe and its candidates. Its methods are those of `fr_training.exercises.protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.CANDIDATES
    steps: ClassVar[tuple[Step, ...]] = (Step.NOTE, Step.DECIDE)
    instructions: ClassVar[Message] = message("instructions.candidates", scale=LIST_SCALE)

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw the order of the candidates; the probe stays first."""
        return shuffled(photos, rng, first=_ONE_PROBE)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """At NOTE the probe alone, at DECIDE the candidates too; nothing is taken from the key."""
        require_step(step, self.steps)
        probe = tuple(ShownPicture(picture_id, Role.PROBE) for picture_id in picture_ids[:_ONE_PROBE])
        shown = () if step == Step.NOTE else candidate_pictures(picture_ids[_ONE_PROBE:])
        return Prompt(self.kind, step, probe + shown)

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let `Notes` pass at NOTE and a `ListDecision` at DECIDE; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer, picture_ids[_ONE_PROBE:])

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """Grade the decision; candidates are counted from 0 as in the item, not as shown."""
        decision = answer_at(locked, Step.DECIDE, ListDecision)
        return grade_list(key_as(key, ListKey), decision, indices(picture_ids, order, _ONE_PROBE))

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Tell whether and where the person searched for was among the candidates, and all similarities."""
        require_done(locked, self.steps)
        decision = answer_at(locked, Step.DECIDE, ListDecision)
        return reveal_list(key_as(key, ListKey), decision, indices(picture_ids, order, _ONE_PROBE))


_NO_PROBE = 0


class OwnProbe:
    """A photo of one's own and its candidates. Its methods are those of `protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.OWN_PROBE
    steps: ClassVar[tuple[Step, ...]] = (Step.SEND_PROBE, Step.NOTE, Step.DECIDE)
    instructions: ClassVar[Message] = message("instructions.own_probe", scale=LIST_SCALE)

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw the order of the candidates."""
        return shuffled(photos, rng, first=_NO_PROBE)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """No picture before DECIDE, then all candidates; nothing is taken from the key."""
        require_step(step, self.steps)
        return Prompt(self.kind, step, candidate_pictures(picture_ids) if step == Step.DECIDE else ())

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let `ProbeSent`, `Notes` and a `ListDecision` pass, each at its step; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer, picture_ids)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """Grade the decision; candidates are counted from 0 as they were found, not as shown."""
        if key is None:
            return Graded(truth="", answer="", correct=None)
        decision = answer_at(locked, Step.DECIDE, ListDecision)
        return grade_list(key_as(key, ListKey), decision, indices(picture_ids, order, _NO_PROBE))

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Tell what was right, where that is known, and how similar each candidate is to the machine."""
        require_done(locked, self.steps)
        decision = answer_at(locked, Step.DECIDE, ListDecision)
        return reveal_list(key_as(key, ListKey), decision, indices(picture_ids, order, _NO_PROBE))
