"""Defines the exercises of two photos rated as a whole: verification, low prevalence, blind verification and aided.

Low prevalence has few pairs of two people, and these are easily missed (Papesh 2014). Its instructions are those of any
verification: a trainee who is told how rare a mismatch is knows half of the answer. In blind verification another
trainee has judged the pair. An aided pair is rated before and after the machine's opinion, which may be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from fr_locales.messages import Message, message
from fr_training.answers import Answer, PairRating
from fr_training.exercises.checks import require_answer
from fr_training.exercises.protocol import Graded, answer_at, key_as, require_done, require_step
from fr_training.keys import AnswerKey, PairKey
from fr_training.prompts import Advice, ExerciseKind, Prompt, Reveal, Role, ShownPicture, Step
from fr_training.trials import Locked

SAME: Final = "same"
DIFFERENT: Final = "different"
UNDECIDED: Final = "undecided"

RATING_SCALE: Final = message("instructions.rating_scale")
"""The text about the ratings of pairs, the same for every exercise."""

OPENING: Final[Mapping[bool | None, Message]] = {
    True: message("reveal.right"),
    False: message("reveal.wrong"),
    None: message("reveal.undecided"),
}


@dataclass(frozen=True, slots=True)
class RatedPair:
    """Two photos, rated once. Its methods are those of `fr_training.exercises.protocol.Exercise`.

    Attributes:
        kind: its word in a plan.
        instructions: for the trainee.
        steps: RATE alone.
    """

    kind: ExerciseKind
    instructions: Message
    steps: tuple[Step, ...] = field(default=(Step.RATE,), init=False)

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw which photo is shown first."""
        return shuffled(photos, rng)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """Both photos; nothing is taken from the key."""
        require_step(step, self.steps)
        return Prompt(self.kind, step, compared_pictures(picture_ids))

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let a `PairRating` pass; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """Grade the rating."""
        return grade_pair(key_as(key, PairKey), answer_at(locked, Step.RATE, PairRating))

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Tell whether both photos show one person."""
        require_done(locked, self.steps)
        return reveal_pair(key_as(key, PairKey), self.grade(key, locked, order, picture_ids))


def shuffled(photos: int, rng: np.random.Generator, first: int = 0) -> tuple[int, ...]:
    """Draw an order of the indices of photos, each order as likely as any other.

    Args:
        photos: how many.
        rng: of the trial.
        first: how many stay in front, in their order.
    """
    return (*range(first), *(int(index) + first for index in rng.permutation(photos - first)))


def compared_pictures(picture_ids: Sequence[str]) -> tuple[ShownPicture, ...]:
    """Pictures to compare, or the one to judge, in the order in which they are shown."""
    return tuple(ShownPicture(picture_id, Role.COMPARED) for picture_id in picture_ids)


def opinion_word(same: bool) -> str:
    """The word for an opinion on a pair in results."""
    return SAME if same else DIFFERENT


def grade_pair(
    key: PairKey, last: PairRating | None, before: PairRating | None = None, advice: bool | None = None
) -> Graded:
    """Grade the ratings of a pair.

    Args:
        key: what is right.
        last: the rating that counts; None where it is not there yet.
        before: the rating before the advice; None where there is none.
        advice: the advice that the trainee has seen; None where there was none.

    Returns:
        A rating above 0 answers "same", below 0 "different", and 0 "undecided", which is neither right nor wrong. The
        machine answers "same" where its likelihood ratio is above 1, and "" where the model has no calibration.
    """
    truth = opinion_word(key.mated)
    answer = "" if last is None else UNDECIDED if last.rating == 0 else opinion_word(last.rating > 0)
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


def reveal_pair(key: PairKey, given: Graded) -> Reveal:
    """Tell what was right about a pair."""
    return Reveal(given.correct, _truth(key, given))


def _truth(key: PairKey, given: Graded) -> Message:
    opening = OPENING[given.correct]
    if key.mated:
        return message("reveal.one_person", opening=opening)
    return message("reveal.two_people", opening=opening)


VERIFICATION: Final = RatedPair(ExerciseKind.VERIFICATION, message("instructions.verification", scale=RATING_SCALE))


LOW_PREVALENCE: Final = RatedPair(ExerciseKind.LOW_PREVALENCE, VERIFICATION.instructions)


BLIND: Final = RatedPair(ExerciseKind.BLIND, message("instructions.blind", scale=RATING_SCALE))


def advice(same: bool) -> Advice:
    """The machine's opinion as a trainee reads it.

    Both English texts have the same length, so that the size of a message does not tell which it holds.
    """
    return Advice(same, message("trial.advice_same") if same else message("trial.advice_different"))


class Aided:
    """Two photos and an opinion. Its methods are those of `fr_training.exercises.protocol.Exercise`."""

    kind: ClassVar[ExerciseKind] = ExerciseKind.AIDED
    steps: ClassVar[tuple[Step, ...]] = (Step.RATE, Step.RATE_AGAIN)
    instructions: ClassVar[Message] = message("instructions.aided", scale=RATING_SCALE)

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw which photo is shown first."""
        return shuffled(photos, rng)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """Both photos, and at RATE_AGAIN the key's advice; nothing else is taken from the key."""
        require_step(step, self.steps)
        opinion = advice(_advice_same(key_as(key, PairKey))) if step == Step.RATE_AGAIN else None
        return Prompt(self.kind, step, compared_pictures(picture_ids), advice=opinion)

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let a `PairRating` pass; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """Grade the last rating; the advice counts as given once the first rating is locked."""
        key = key_as(key, PairKey)
        before = answer_at(locked, Step.RATE, PairRating)
        seen = None if before is None else _advice_same(key)
        return grade_pair(key, answer_at(locked, Step.RATE_AGAIN, PairRating), before, seen)

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Tell whether both photos show one person, and whether the machine's opinion was right."""
        require_done(locked, self.steps)
        key = key_as(key, PairKey)
        given = self.grade(key, locked, order, picture_ids)
        truth = _truth(key, given)
        if _advice_same(key) == key.mated:
            return Reveal(given.correct, message("reveal.advice_right", truth=truth))
        return Reveal(given.correct, message("reveal.advice_wrong", truth=truth))


def _advice_same(key: PairKey) -> bool:
    if key.advice_same is None:
        raise ValueError("an aided item has an advice")
    return key.advice_same
