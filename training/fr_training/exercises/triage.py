"""Defines triage: a trainee judges whether one photo can be used for a comparison, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from fr_locales.messages import Message, message
from fr_training.answers import Degraded, Usability
from fr_training.answers import Triage as TriageGiven
from fr_training.exercises.exercise import OPENING, Exercise, Graded, answer_at, key_as
from fr_training.keys import AnswerKey, TriageKey
from fr_training.prompts import Reveal, Step
from fr_training.trials import Trial

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


class Triage(Exercise):
    """One photo, judged by its quality."""

    steps: ClassVar[tuple[Step, ...]] = (Step.TRIAGE,)

    def grade(self, key: AnswerKey | None, trial: Trial, picture_ids: Sequence[str]) -> Graded:
        """Grade the decision: the same usability is right, and reasons do not count."""
        key = key_as(key, TriageKey)
        given = answer_at(trial.locked, Step.TRIAGE, TriageGiven)
        return Graded(
            truth=key.usability,
            answer="" if given is None else given.usability,
            correct=None if given is None else given.usability == key.usability,
            reasons="" if given is None else "+".join(sorted(given.reasons)),
            degraded=key.degraded or "",
        )

    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal:
        """Tell how usable the photo is, what was done to it, and whether the trainee saw that."""
        key = key_as(key, TriageKey)
        given = answer_at(trial.locked, Step.TRIAGE, TriageGiven)
        opening, usability = OPENING[correct is True], _TRUTH[key.usability]
        if key.degraded is None:
            return Reveal(correct, message("reveal.triage", opening=opening, usability=usability))
        reason = _REASON[key.degraded]
        if given is not None and given.reasons and key.degraded not in given.reasons:
            text = message("reveal.triage_other_reason", opening=opening, usability=usability, reason=reason)
            return Reveal(correct, text)
        return Reveal(correct, message("reveal.triage_because", opening=opening, usability=usability, reason=reason))
