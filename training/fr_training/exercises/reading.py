"""Keys and locked answers, each as the type that an exercise works with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fr_training.answers import Given
from fr_training.exercises.protocol import given_at
from fr_training.keys import AnswerKey
from fr_training.prompts import Step
from fr_training.trials import Locked

K = TypeVar("K", bound=AnswerKey)
G = TypeVar("G", bound=Given)


def require_step(step: Step, steps: Sequence[Step]) -> None:
    """Raise `ValueError` where an exercise is asked for a step that it does not have."""
    if step not in steps:
        raise ValueError(f"the exercise has no step {step}")


def require_done(locked: Sequence[Locked], steps: Sequence[Step]) -> None:
    """Raise `ValueError` unless every step is answered: what is right is told to nobody before that."""
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
