"""Verification: the pairs of a data set, compared by the embeddings of their photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fr_core.types import Embedding
from fr_datasets.values import VerificationPair

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ComparedPairs:
    """The pairs of a set after comparison, in the order of its list.

    Attributes:
        similarities: f64[n] in [-1, 1], of the pairs that could be compared.
        mated: bool[n].
        folds: i64[n]; 0 for pairs without a fold.
        pairs: n, those that were compared.
        failed: the pairs of which a photo has no embedding; they are counted, never dropped.
    """

    similarities: F64
    mated: npt.NDArray[np.bool_]
    folds: npt.NDArray[np.int64]
    pairs: tuple[VerificationPair, ...]
    failed: tuple[VerificationPair, ...]

    @property
    def mated_similarities(self) -> F64:
        """f64[k], of the mated pairs."""
        return self.similarities[self.mated]

    @property
    def nonmated_similarities(self) -> F64:
        """f64[n - k], of the others."""
        return self.similarities[~self.mated]

    @property
    def mated_failures(self) -> int:
        """Mated pairs among those that could not be compared."""
        return sum(pair.mated for pair in self.failed)

    @property
    def nonmated_failures(self) -> int:
        """Non-mated pairs among those that could not be compared."""
        return len(self.failed) - self.mated_failures

    @property
    def failed_folds(self) -> tuple[int, ...]:
        """The fold of each pair that could not be compared; 0 where it has none."""
        return tuple(pair.fold or 0 for pair in self.failed)


def compare(pairs: Iterable[VerificationPair], embeddings: Mapping[Path, Embedding | None]) -> ComparedPairs:
    """Compare the pairs whose photos both have an embedding; keep the others as failures.

    Raises:
        ModelMismatch: two embeddings are of different models.
    """
    compared: list[VerificationPair] = []
    similarities: list[float] = []
    failed: list[VerificationPair] = []
    for pair in pairs:
        a, b = embeddings[pair.a], embeddings[pair.b]
        if a is None or b is None:
            failed.append(pair)
        else:
            compared.append(pair)
            similarities.append(a.similarity(b))
    return ComparedPairs(
        np.array(similarities, dtype=np.float64),
        np.array([pair.mated for pair in compared], dtype=np.bool_),
        np.array([pair.fold or 0 for pair in compared], dtype=np.int64),
        tuple(compared),
        tuple(failed),
    )


@dataclass(frozen=True, slots=True, eq=False)
class AcrossPeople:
    """Every two people of a list, compared by one photo each: many more non-mated comparisons than the list has.

    Attributes:
        similarities: f64[k (k - 1) / 2] in [-1, 1].
        people: k.
    """

    similarities: F64
    people: int


def across_people(
    pairs: Iterable[VerificationPair], embeddings: Mapping[Path, Embedding | None]
) -> AcrossPeople | None:
    """Compare everybody whom a list names with everybody else, by the first photo of each that has an embedding.

    Returns:
        None where the list does not name people, or fewer than two have an embedding.
    """
    firsts: dict[str, Embedding] = {}
    for pair in pairs:
        if pair.people is None:
            return None
        for person, photo in zip(pair.people, (pair.a, pair.b), strict=True):
            embedding = embeddings[photo]
            if embedding is not None:
                firsts.setdefault(person, embedding)
    if len(firsts) < 2:
        return None
    vectors = np.array([embedding.vector for embedding in firsts.values()], dtype=np.float64)
    rows = [vectors[row + 1 :] @ vectors[row] for row in range(len(vectors) - 1)]
    return AcrossPeople(np.concatenate(rows), len(vectors))
