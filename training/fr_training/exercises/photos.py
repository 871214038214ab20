"""Defines the exercises of photos of the course alone: pairs, rated as a whole or by component, triads, and triage.

Low prevalence has few pairs of two people, and these are easily missed (Papesh 2014). Its instructions are those of any
verification: a trainee who is told how rare a mismatch is knows half of the answer. In blind verification another
trainee has judged the pair. An aided pair is rated before and after the machine's opinion, which may be wrong. By
component, a pair is first compared part by part (Towler 2017, 2021). In footage, a photo is compared with the shots of
a track. In a triad a trainee finds the odd one out of three photos, without a lean to "same". In triage a trainee
judges whether one photo can be used for a comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from fr_locales.messages import Message, message
from fr_training.answers import Degraded, OddOneOut, PairRating, Usability
from fr_training.answers import Triage as TriageGiven
from fr_training.exercises.checks import COMPONENTS
from fr_training.exercises.exercise import OPENING, Exercise, Graded, answer_at, key_as, shown
from fr_training.keys import AnswerKey, PairKey, TriadKey, TriageKey
from fr_training.prompts import Advice, Prompt, Reveal, Role, Step
from fr_training.trials import Trial

SAME: Final = "same"
DIFFERENT: Final = "different"

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


class RatedPair(Exercise):
    """Two photos, rated once."""

    steps: ClassVar[tuple[Step, ...]] = (Step.RATE,)

    def grade(self, key: AnswerKey | None, trial: Trial, picture_ids: Sequence[str]) -> Graded:
        """Grade the rating."""
        return grade_pair(key_as(key, PairKey), answer_at(trial.locked, Step.RATE, PairRating))

    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal:
        return Reveal(correct, _truth(key_as(key, PairKey), correct))


class Footage(RatedPair):
    """A photo beside the shots of a track, rated once; its reveal has the machine's similarity of photo and track."""

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Keep the photo first, and the shots in the order of time."""
        return tuple(range(photos))

    def _prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        return Prompt(self.kind, step, shown(picture_ids[:1], Role.COMPARED) + shown(picture_ids[1:], Role.SHOT))

    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal:
        key = key_as(key, PairKey)
        return Reveal(correct, truth_of_track(key, OPENING[correct]), {picture_ids[0]: key.similarity})


class Features(RatedPair):
    """Two photos, compared by component, then rated; the observations have no right and no wrong."""

    steps: ClassVar[tuple[Step, ...]] = (Step.OBSERVE, Step.RATE)

    def _prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        components = COMPONENTS if step == Step.OBSERVE else ()
        return Prompt(self.kind, step, shown(picture_ids, Role.COMPARED), components)


class Aided(RatedPair):
    """Two photos, rated before and after an opinion."""

    steps: ClassVar[tuple[Step, ...]] = (Step.RATE, Step.RATE_AGAIN)

    def _prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """At RATE_AGAIN the key's advice; nothing else is taken from the key."""
        opinion = advice(_advice_same(key_as(key, PairKey))) if step == Step.RATE_AGAIN else None
        return Prompt(self.kind, step, shown(picture_ids, Role.COMPARED), advice=opinion)

    def grade(self, key: AnswerKey | None, trial: Trial, picture_ids: Sequence[str]) -> Graded:
        """Grade the last rating; the advice counts as given once the first rating is locked."""
        key = key_as(key, PairKey)
        before = answer_at(trial.locked, Step.RATE, PairRating)
        seen = None if before is None else _advice_same(key)
        return grade_pair(key, answer_at(trial.locked, Step.RATE_AGAIN, PairRating), before, seen)

    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal:
        key = key_as(key, PairKey)
        truth = _truth(key, correct)
        if _advice_same(key) == key.mated:
            return Reveal(correct, message("reveal.advice_right", truth=truth))
        return Reveal(correct, message("reveal.advice_wrong", truth=truth))


class Triad(Exercise):
    """Three photos, two of one person, one choice."""

    steps: ClassVar[tuple[Step, ...]] = (Step.CHOOSE,)

    def grade(self, key: AnswerKey | None, trial: Trial, picture_ids: Sequence[str]) -> Graded:
        """Grade the choice; photos are counted as in the item, not as shown."""
        key = key_as(key, TriadKey)
        choice = answer_at(trial.locked, Step.CHOOSE, OddOneOut)
        odd = None if choice is None else trial.order[picture_ids.index(choice.picture_id)]
        return Graded(
            truth=f"odd:{key.odd}",
            answer="" if odd is None else f"odd:{odd}",
            correct=None if odd is None else odd == key.odd,
            machine=f"odd:{key.machine_odd}",
        )

    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal:
        """Photos are counted from 1 as they were shown."""
        place = trial.order.index(key_as(key, TriadKey).odd)
        text = message("reveal.odd", opening=OPENING[correct is True], number=place + 1)
        return Reveal(correct, text, picture_id=picture_ids[place])


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


def opinion_word(same: bool) -> str:
    """The word for an opinion on a pair in results."""
    return SAME if same else DIFFERENT


def grade_pair(
    key: PairKey, last: PairRating | None, before: PairRating | None = None, advice: bool | None = None
) -> Graded:
    """Grade the ratings of a pair: the last, which counts, and the one before the advice that the trainee has seen.

    A rating above 0 answers "same", below 0 "different", and 0 "undecided", which is neither right nor wrong. The
    machine answers "same" where its likelihood ratio is above 1, and "" where the model has no calibration.
    """
    truth = opinion_word(key.mated)
    answer = "" if last is None else "undecided" if last.rating == 0 else opinion_word(last.rating > 0)
    return Graded(
        truth=truth,
        answer=answer,
        correct=answer == truth if answer in (SAME, DIFFERENT) else None,
        rating=None if last is None else last.rating,
        rating_before=None if before is None else before.rating,
        p_same=None if last is None else last.p_same,
        advice="" if advice is None else opinion_word(advice),
        similarity=key.similarity,
        log10_lr=key.log10_lr,
        machine="" if key.log10_lr is None else opinion_word(key.log10_lr > 0.0),
    )


def advice(same: bool) -> Advice:
    """The machine's opinion as a trainee reads it.

    Both English texts have the same length, so that the size of a message does not tell which it holds.
    """
    return Advice(same, message("trial.advice_same") if same else message("trial.advice_different"))


def _advice_same(key: PairKey) -> bool:
    if key.advice_same is None:
        raise ValueError("an aided item has an advice")
    return key.advice_same


def truth_of_track(key: PairKey, opening: Message) -> Message:
    """Say whom a photo and a track show."""
    if key.mated:
        return message("reveal.track_one_person", opening=opening)
    return message("reveal.track_two_people", opening=opening)


def _truth(key: PairKey, correct: bool | None) -> Message:
    if key.mated:
        return message("reveal.one_person", opening=OPENING[correct])
    return message("reveal.two_people", opening=OPENING[correct])
