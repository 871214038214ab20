"""The search behind lists of candidates: what it must do, and a plain reference that compares with everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fr_training.bank.pool import F32, PoolPhoto


@dataclass(frozen=True, slots=True)
class Ranked:
    """A person who was found: a lead, no identity.

    Attributes:
        person: number of the person.
        similarity: to the probe, in [-1, 1].
    """

    person: int
    similarity: float


class Matcher(Protocol):
    """Enrolled people who can be searched; one object serves one course."""

    def enrol(self, people: Sequence[tuple[int, PoolPhoto]]) -> None:
        """Take up people: the number of each, which is unique, and the photo to be found by. It is called once."""
        ...

    def search(self, probe: F32, k: int) -> Sequence[Ranked]:
        """The people most similar to a probe, best first: k of them, or everybody where fewer are enrolled.

        Args:
            probe: f32[D], length 1.
            k: at least 1.
        """
        ...


class ExactMatcher:
    """Compares a probe with everybody; of two equally similar people, who was enrolled first comes first."""

    def __init__(self) -> None:
        self._people: tuple[int, ...] = ()
        self._vectors: F32 = np.empty((0, 0), dtype=np.float32)

    def enrol(self, people: Sequence[tuple[int, PoolPhoto]]) -> None:
        """See `Matcher`; ValueError where a number comes twice, or people are enrolled already."""
        numbers = tuple(number for number, _ in people)
        if self._people or len(set(numbers)) != len(numbers):
            raise ValueError("People are enrolled once, and no number comes twice.")
        self._people = numbers
        if people:
            self._vectors = np.stack([photo.embedding for _, photo in people])

    def search(self, probe: F32, k: int) -> Sequence[Ranked]:
        """See `Matcher`; ValueError where k is below 1."""
        if k < 1:
            raise ValueError(f"A search returns at least 1 person, not {k}.")
        if not self._people:
            return ()
        similarities = np.clip(self._vectors @ probe, -1.0, 1.0)
        best = np.argsort(-similarities, kind="stable")[:k]
        return tuple(Ranked(self._people[index], float(similarities[index])) for index in best)
