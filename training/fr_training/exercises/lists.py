"""Defines the exercises on candidate lists: of a probe from the course, and of the trainee's own photo.

The trainee describes the probe before anything else is shown, so that the candidates cannot colour the description
(linear sequential unmasking: Krane et al. 2008, Dror et al. 2015). The server does not keep an own probe, so that the
pictures of that trial are the candidates alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from fr_locales.messages import Message, message
from fr_training.answers import ListChoice, ListDecision
from fr_training.exercises.exercise import OPENING, Exercise, Graded, answer_at, key_as, shown
from fr_training.keys import AnswerKey, ListKey
from fr_training.prompts import Prompt, Reveal, Role, Step
from fr_training.trials import Trial

NONE: Final = "none"
INCONCLUSIVE: Final = "inconclusive"

_OPENING: Final[Mapping[bool | None, Message]] = {**OPENING, None: message("reveal.inconclusive")}


class OwnProbe(Exercise):
    """A photo of one's own and its candidates; no picture is shown before DECIDE."""

    steps: ClassVar[tuple[Step, ...]] = (Step.SEND_PROBE, Step.NOTE, Step.DECIDE)

    def _prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        candidates = picture_ids[self.probes :] if step == Step.DECIDE else ()
        probe = shown(picture_ids[: self.probes], Role.PROBE)
        return Prompt(self.kind, step, probe + shown(candidates, Role.CANDIDATE))

    def grade(self, key: AnswerKey | None, trial: Trial, picture_ids: Sequence[str]) -> Graded:
        """Grade the decision; candidates are counted from 0 as in `ListKey`, not as shown.

        The candidate who is searched for is right, or "none" if the list does not hold the person. "inconclusive" is
        neither right nor wrong, and neither is any answer if the truth is unknown. The machine answers the most similar
        candidate, the first of equals, and ranks the mate in the same way.
        """
        if key is None:
            return Graded(truth="", answer="", correct=None)
        key = key_as(key, ListKey)
        answer = _answer(answer_at(trial.locked, Step.DECIDE, ListDecision), self._indices(trial.order, picture_ids))
        truth = right = ""
        if key.scored:
            truth = "absent" if key.mate is None else f"mate:{key.mate}"
            right = NONE if key.mate is None else f"candidate:{key.mate}"
        ranked = sorted(range(len(key.similarities)), key=lambda index: -key.similarities[index])
        return Graded(
            truth=truth,
            answer=answer,
            correct=answer == right if key.scored and answer not in ("", INCONCLUSIVE) else None,
            machine=f"candidate:{ranked[0]}" if ranked else "",
            mate_rank=ranked.index(key.mate) + 1 if key.scored and key.mate is not None else None,
            candidates=len(key.similarities),
        )

    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal:
        """Candidates are counted from 1, as shown; similarities are always told."""
        key = key_as(key, ListKey)
        index_of = self._indices(trial.order, picture_ids)
        similarities = {picture_id: key.similarities[index] for picture_id, index in index_of.items()}
        if not key.scored:
            return Reveal(None, message("reveal.unknown"), similarities)
        if key.mate is None:
            return Reveal(correct, message("reveal.absent", opening=_OPENING[correct]), similarities)
        place = list(index_of.values()).index(key.mate)
        text = message("reveal.mate", opening=_OPENING[correct], number=place + 1)
        return Reveal(correct, text, similarities, list(index_of)[place])

    def _indices(self, order: Sequence[int], picture_ids: Sequence[str]) -> dict[str, int]:
        """Picture id -> index in `ListKey.similarities`, in the order in which the candidates are shown."""
        pairs = zip(picture_ids[self.probes :], order[self.probes :], strict=True)
        return {picture_id: index - self.probes for picture_id, index in pairs}


class Candidates(OwnProbe):
    """A probe of the course and its candidates: at NOTE the probe alone, at DECIDE the candidates too."""

    steps: ClassVar[tuple[Step, ...]] = (Step.NOTE, Step.DECIDE)
    probes: ClassVar[int] = 1


def _answer(decision: ListDecision | None, index_of: Mapping[str, int]) -> str:
    if decision is None:
        return ""
    if decision.choice == ListChoice.CANDIDATE:
        if decision.picture_id is None:
            raise ValueError("a decision for a candidate names its picture")
        return f"candidate:{index_of[decision.picture_id]}"
    return NONE if decision.choice == ListChoice.NONE else INCONCLUSIVE
