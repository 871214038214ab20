"""The exercises of two photos that are rated as a whole: verification, low prevalence, blind verification and aided.

Low prevalence has few pairs of two people, in which these are easily missed (Papesh 2014). Its instructions are those
of any verification: to be told how rare a mismatch is would be an answer of its own. In blind verification another
trainee has judged the pair. An aided pair is rated before and after the machine's opinion, which may be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from fr_training.answers import Answer, PairRating
from fr_training.exercises.checks import require_answer
from fr_training.exercises.protocol import Graded, answer_at, key_as, require_done, require_step
from fr_training.keys import AnswerKey, PairKey
from fr_training.prompts import Advice, ExerciseKind, Prompt, Reveal, Role, ShownPicture, Step
from fr_training.trials import Locked

SAME: Final = "same"
DIFFERENT: Final = "different"
UNDECIDED: Final = "undecided"

RATING_SCALE: Final = (
    "Rate from -3 (surely two people) to 3 (surely one person); a positive rating says one person, 0 says that you "
    "cannot decide. If you like, add how probable one person is, and how hard you found it, from 1 (easy) "
    "to 5 (hard). If you know one of the people, say so: the trial is then left out of every figure."
)
"""What a trainee reads about the ratings of pairs, whatever the exercise."""

_OPENING: Final[Mapping[bool | None, str]] = {True: "Right", False: "Not right", None: "Undecided"}


@dataclass(frozen=True, slots=True)
class RatedPair:
    """Two photos, rated once. Its methods are those of `fr_training.exercises.protocol.Exercise`.

    Attributes:
        kind: its word in a plan.
        instructions: for the trainee.
        steps: RATE alone.
    """

    kind: ExerciseKind
    instructions: str
    steps: tuple[Step, ...] = field(default=(Step.RATE,), init=False)

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw which photo is shown first."""
        return shuffled(photos, rng)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """Both photos; nothing is taken from the key."""
        require_step(step, self.steps)
        return Prompt(self.kind, step, compared(picture_ids))

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Let a `PairRating` pass; `Exercise.check` has the refusals."""
        require_answer(self.steps, step, answer)

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """What the rating is worth."""
        return graded(key_as(key, PairKey), answer_at(locked, Step.RATE, PairRating))

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Whether both photos show one person."""
        require_done(locked, self.steps)
        return revealed(key_as(key, PairKey), self.grade(key, locked, order, picture_ids))


def shuffled(photos: int, rng: np.random.Generator, first: int = 0) -> tuple[int, ...]:
    """Draw an order of the indices of photos, each order as likely as any other.

    Args:
        photos: how many.
        rng: of the trial.
        first: how many stay in front, in their order.
    """
    return (*range(first), *(int(index) + first for index in rng.permutation(photos - first)))


def compared(picture_ids: Sequence[str]) -> tuple[ShownPicture, ...]:
    """Pictures to compare, or the one to judge, in the order in which they are shown."""
    return tuple(ShownPicture(picture_id, Role.COMPARED) for picture_id in picture_ids)


def word(same: bool) -> str:
    """What an opinion on a pair is called in results."""
    return SAME if same else DIFFERENT


def graded(
    key: PairKey, last: PairRating | None, before: PairRating | None = None, advice: bool | None = None
) -> Graded:
    """What ratings of a pair are worth.

    Args:
        key: what is right.
        last: the rating that counts; None where it is not there yet.
        before: the rating before the advice; None where there is none.
        advice: the advice that the trainee has seen; None where there was none.

    Returns:
        A rating above 0 answers "same", below 0 "different", and 0 "undecided", which is neither right nor wrong. The
        machine answers "same" where its likelihood ratio is above 1, and "" where the model has no calibration.
    """
    truth = word(key.mated)
    answer = "" if last is None else UNDECIDED if last.rating == 0 else word(last.rating > 0)
    return Graded(
        truth=truth,
        answer=answer,
        correct=answer == truth if answer in (SAME, DIFFERENT) else None,
        rating=None if last is None else last.rating,
        rating_before=None if before is None else before.rating,
        p_same=None if last is None else last.p_same,
        advice="" if advice is None else word(advice),
        similarity=key.similarity,
        log10_lr=key.log10_lr,
        machine="" if key.log10_lr is None else word(key.log10_lr > 0.0),
    )


def revealed(key: PairKey, given: Graded, after: str = "") -> Reveal:
    """What was right about a pair, in words; `after` follows them."""
    truth = "both photos show one person." if key.mated else "the photos show two people."
    return Reveal(given.correct, f"{_OPENING[given.correct]}: {truth}{after}")


VERIFICATION: Final = RatedPair(
    ExerciseKind.VERIFICATION,
    "You see two photos. Do they show one person, or two people? Compare one part of the face after the other before "
    f"you judge the whole. {RATING_SCALE}",
)


LOW_PREVALENCE: Final = RatedPair(ExerciseKind.LOW_PREVALENCE, VERIFICATION.instructions)


BLIND: Final = RatedPair(
    ExerciseKind.BLIND,
    "You see two photos that another trainee judges as well. You do not see that opinion, and must not ask for it: two "
    "opinions are worth more than one only while each stands on its own. Do the photos show one person, or two people? "
    f"{RATING_SCALE}",
)


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
        f"tell you. {RATING_SCALE}"
    )

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw which photo is shown first."""
        return shuffled(photos, rng)

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """Both photos, and at RATE_AGAIN the key's advice; nothing else is taken from the key."""
        require_step(step, self.steps)
        opinion = advice(_advice_same(key_as(key, PairKey))) if step == Step.RATE_AGAIN else None
        return Prompt(self.kind, step, compared(picture_ids), advice=opinion)

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
        return graded(key, answer_at(locked, Step.RATE_AGAIN, PairRating), before, seen)

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Whether both photos show one person, and whether the machine's opinion was right."""
        require_done(locked, self.steps)
        key = key_as(key, PairKey)
        after = f" The machine's opinion was {'right' if _advice_same(key) == key.mated else 'wrong'}."
        return revealed(key, self.grade(key, locked, order, picture_ids), after)


def _advice_same(key: PairKey) -> bool:
    if key.advice_same is None:
        raise ValueError("an aided item has an advice")
    return key.advice_same
