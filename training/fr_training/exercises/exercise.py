"""Defines what every exercise can do. An exercise holds no state and knows no network, no clock and no store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeAlias, TypeVar

import numpy as np

from fr_locales.messages import Message, message
from fr_training.answers import Answer, Draft, Given
from fr_training.exercises.checks import require_answer, require_draft
from fr_training.exercises.questions import question
from fr_training.keys import AnswerKey, LessonKey
from fr_training.prompts import (
    Evidence,
    ExerciseKind,
    Lab,
    LessonPage,
    LessonPart,
    LessonTold,
    Prompt,
    Reveal,
    Role,
    ShownPicture,
    Step,
)
from fr_training.trials import Locked, Trial

OPENING: Final[Mapping[bool | None, Message]] = {
    True: message("reveal.right"),
    False: message("reveal.wrong"),
    None: message("reveal.undecided"),
}
"""First words of a reveal, by whether the answer was right."""


@dataclass(frozen=True, slots=True)
class Graded:
    """The grade of the answers to a trial; the attributes are those of `fr_training.trials.Result`."""

    truth: str
    answer: str
    correct: bool | None
    rating: int | None = None
    rating_before: int | None = None
    p_same: float | None = None
    advice: str = ""
    similarity: float | None = None
    log10_lr: float | None = None
    machine: str = ""
    mate_rank: int | None = None
    candidates: int = 0
    reasons: str = ""
    degraded: str = ""
    lab: str = ""
    predicted: float | None = None
    measured: float | None = None
    near: bool | None = None
    lesson: str = ""


Asked: TypeAlias = Lab | Evidence | LessonPart
"""The question of an item, beside its photos."""


class Exercise(ABC):
    """One kind of exercise: its steps, what is shown at each, which answers it takes, and what they are worth.

    "Shown position" counts the pictures of a trial from 0 in the order in which they are shown; `order` maps it to the
    index in the item's photos. Picture ids are given by shown position. The options of a lesson stand for pictures.

    Attributes:
        instructions: the text before a block whose plan has no words of its own; it tells nothing of any item.
        steps: each is shown, and answered once, in this order.
        probes: photos of an item that stay in front and cannot be chosen.
    """

    steps: ClassVar[tuple[Step, ...]]
    probes: ClassVar[int] = 0

    def __init__(self, kind: ExerciseKind, instructions: Message) -> None:
        self.kind = kind
        self.instructions = instructions

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw in which order the photos of an item are shown, each as likely as any other; a probe stays first."""
        first = self.probes
        return (*range(first), *(int(index) + first for index in rng.permutation(photos - first)))

    def prompt(
        self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None, asked: Asked | None = None
    ) -> Prompt:
        """Build what is shown at a step: of `picture_ids`, those of all pictures of the trial, the ones that it shows.

        Nothing but the advice of an aided exercise, at RATE_AGAIN, is taken from the key; what is `asked` is told
        as far as the step may know it. Raises ValueError where the step is none of `steps`, or the key of an aided
        exercise has no advice.
        """
        if step not in self.steps:
            raise ValueError(f"the exercise has no step {step}")
        prompt = self._prompt(step, picture_ids, key)
        return prompt if asked is None else self._with(prompt, picture_ids, asked)

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Require an answer that the step can take; raises what `require_answer` does."""
        require_answer(self.steps, step, answer, picture_ids[self.probes :])

    def check_draft(self, step: Step, draft: Draft, picture_ids: Sequence[str]) -> None:
        """Require a draft of an answer to the step; raises what `require_draft` does."""
        require_draft(step, draft, picture_ids[self.probes :])

    @abstractmethod
    def grade(self, key: AnswerKey | None, trial: Trial, picture_ids: Sequence[str]) -> Graded:
        """Grade the answers, each as `check` let it pass; where some are missing, `answer` is "" and `correct` None.

        `known_to_me` plays no part here. The key is None for an own probe that was not sent; TypeError where the key,
        or an answer, is one of another exercise.
        """

    def reveal(self, key: AnswerKey, trial: Trial, picture_ids: Sequence[str], asked: Asked | None = None) -> Reveal:
        """Tell what was right, for a trial that is done; see `grade`, and `prompt` for `asked`.

        The machine's similarities are in `similarities` alone, so that a caller can leave them out. ValueError where a
        step is not answered yet: nobody learns before that what is right.
        """
        if any(given_at(trial.locked, step) is None for step in self.steps):
            raise ValueError("what was right is told when every step is answered, not before")
        told = self._reveal(key, self.grade(key, trial, picture_ids).correct, trial, picture_ids)
        if isinstance(key, LessonKey) and isinstance(asked, LessonPart):
            return replace(told, lesson=LessonTold(asked, tuple(picture_ids), key.reasons, key.right))
        return told

    def _with(self, prompt: Prompt, picture_ids: Sequence[str], asked: Asked) -> Prompt:
        if isinstance(asked, LessonPart):
            return replace(prompt, lesson=LessonPage(asked, tuple(picture_ids) if prompt.step == Step.ANSWER else ()))
        return replace(prompt, question=question(prompt.step, asked))

    def _prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        return Prompt(self.kind, step, shown(picture_ids, Role.COMPARED))

    @abstractmethod
    def _reveal(self, key: AnswerKey, correct: bool | None, trial: Trial, picture_ids: Sequence[str]) -> Reveal: ...


def shown(picture_ids: Sequence[str], role: Role) -> tuple[ShownPicture, ...]:
    """Pictures of one role, in the order in which they are shown."""
    return tuple(ShownPicture(picture_id, role) for picture_id in picture_ids)


def given_at(locked: Sequence[Locked], step: Step) -> Given | None:
    """The answer that was locked at a step, None where there is none."""
    return next((one.answer.given for one in locked if one.step == step), None)


K = TypeVar("K", bound=AnswerKey)
G = TypeVar("G", bound=Given)


def key_as(key: AnswerKey | None, kind: type[K]) -> K:
    """Return the key, which must be of a kind; `TypeError` otherwise, for the item is of another exercise."""
    if not isinstance(key, kind):
        raise TypeError(f"the exercise needs a {kind.__name__}, not a {type(key).__name__}")
    return key


def answer_at(locked: Sequence[Locked], step: Step, kind: type[G]) -> G | None:
    """Return the answer locked at a step, None where there is none; `TypeError` where it is of another kind."""
    given = given_at(locked, step)
    if given is not None and not isinstance(given, kind):
        raise TypeError(f"at {step} the exercise takes a {kind.__name__}, not a {type(given).__name__}")
    return given
