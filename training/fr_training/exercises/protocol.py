"""Defines what every exercise can do. An exercise holds no state and knows no network, no clock and no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from fr_locales.messages import Message
from fr_training.answers import Answer, Given
from fr_training.keys import AnswerKey
from fr_training.prompts import ExerciseKind, Prompt, Reveal, Step
from fr_training.trials import Locked


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


class Exercise(Protocol):
    """One kind of exercise: its steps, what is shown at each, which answers it takes, and what they are worth.

    "Shown position" counts the pictures of a trial from 0 in the order in which they are shown; `order` maps it to the
    index in the item's photos. Picture ids are given by shown position.
    """

    @property
    def kind(self) -> ExerciseKind:
        """Its word in a plan."""
        ...

    @property
    def steps(self) -> tuple[Step, ...]:
        """Each is shown, and answered once, in this order."""
        ...

    @property
    def instructions(self) -> Message:
        """The text before a block whose plan has no words of its own; it tells nothing of any item."""
        ...

    def order(self, photos: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Draw in which order the photos of an item are shown; a probe stays first."""
        ...

    def prompt(self, step: Step, picture_ids: Sequence[str], key: AnswerKey | None) -> Prompt:
        """Build what is shown at a step.

        Args:
            step: one of `steps`.
            picture_ids: of all pictures of the trial, by shown position; the prompt holds those that the step shows.
            key: nothing but the advice of an aided exercise, at RATE_AGAIN, may be taken from it.

        Raises:
            ValueError: the step is none of `steps`, or the key of an aided exercise has no advice.
        """
        ...

    def check(self, step: Step, answer: Answer, picture_ids: Sequence[str]) -> None:
        """Require an answer that the step can take.

        Raises:
            WrongStep: the answer is one to another step.
            InvalidRating: a rating, probability, difficulty, similarity or picture is none that was asked for.
            MissingField: a part of the answer is not there, such as the rating of a candidate.
            InvalidField: a part of the answer cannot be, such as notes that are too long.
        """
        ...

    def grade(
        self, key: AnswerKey | None, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Graded:
        """Grade the answers; `locked` may be shorter than `steps`, and then `answer` is "" and `correct` None.

        `known_to_me` plays no part here.

        Args:
            key: what is right; None for an own probe that was not sent.
            locked: the answers, each as `check` let it pass.
            order: shown position -> index in the item's photos.
            picture_ids: by shown position.

        Raises:
            TypeError: the key, or an answer, is one of another exercise.
        """
        ...

    def reveal(
        self, key: AnswerKey, locked: Sequence[Locked], order: Sequence[int], picture_ids: Sequence[str]
    ) -> Reveal:
        """Tell what was right, for a trial that is done; the arguments are those of `grade`.

        The machine's similarities are in `similarities` alone, so that a caller can leave them out.

        Raises:
            ValueError: a step is not answered yet.
            TypeError: the key, or an answer, is one of another exercise.
        """
        ...


def given_at(locked: Sequence[Locked], step: Step) -> Given | None:
    """The answer that was locked at a step, None where there is none."""
    return next((one.answer.given for one in locked if one.step == step), None)


K = TypeVar("K", bound=AnswerKey)
G = TypeVar("G", bound=Given)


def require_step(step: Step, steps: Sequence[Step]) -> None:
    """Raise `ValueError` where an exercise is asked for a step that it does not have."""
    if step not in steps:
        raise ValueError(f"the exercise has no step {step}")


def require_done(locked: Sequence[Locked], steps: Sequence[Step]) -> None:
    """Raise `ValueError` unless every step is answered: nobody is told before that what is right."""
    if any(given_at(locked, step) is None for step in steps):
        raise ValueError("what was right is told when every step is answered, not before")


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
