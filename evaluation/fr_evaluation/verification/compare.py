"""Verification: the pairs of a data set, compared by the embeddings of their photos."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fr_core.types import I64, Embedding
from fr_datasets.values import VerificationPair

F64 = npt.NDArray[np.float64]

# Compared with each other: 12.5 million comparisons. View 2 of LFW names 4,281.
MOST_PEOPLE = 5_000


@dataclass(frozen=True, slots=True, eq=False)
class ComparedPairs:
    """The pairs of a set after comparison, in the order of its list."""

    similarities: F64  # f64[n] in [-1, 1] of `pairs`
    mated: npt.NDArray[np.bool_]  # bool[n]
    folds: npt.NDArray[np.int64]  # i64[n], 0 without a fold
    pairs: Sequence[VerificationPair]  # that were compared
    failed: Sequence[VerificationPair]  # a photo has no embedding: they are counted, never dropped

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

    def only(self, wanted: Callable[[VerificationPair], bool]) -> ComparedPairs:
        """Those pairs alone."""
        kept = np.array([wanted(pair) for pair in self.pairs], dtype=np.bool_)
        return ComparedPairs(
            self.similarities[kept],
            self.mated[kept],
            self.folds[kept],
            tuple(pair for pair, keep in zip(self.pairs, kept, strict=True) if keep),
            tuple(pair for pair in self.failed if wanted(pair)),
        )


def compare(pairs: Iterable[VerificationPair], embeddings: Mapping[Path, Embedding | None]) -> ComparedPairs:
    """Compare the pairs whose photos both have an embedding; keep the others as failures; raises `ModelMismatch`."""
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
    """Every two people of a list, compared by one photo each: many more non-mated comparisons than the list has."""

    # F64[k (k - 1) / 2] in [-1, 1], of person 0 and each further one, of person 1 and each further one, and so on.
    similarities: F64
    names: tuple[str, ...]  # of the k people, in the order of the list
    photos: tuple[Path, ...]  # likewise
    absent: int = 0  # not compared, as none of their photos has an embedding
    left_out: int = 0  # not compared, beyond `MOST_PEOPLE`

    @property
    def people(self) -> int:
        """k."""
        return len(self.names)

    @property
    def failures(self) -> int:
        """Comparisons that were not made, as of one person or both there is no embedding."""
        return comb(self.people + self.absent, 2) - comb(self.people, 2)

    def places(self) -> tuple[I64, I64]:
        """i64[k (k - 1) / 2] twice: the first and the second person of each comparison, as places in `names`."""
        first, second = np.triu_indices(self.people, 1)
        return first.astype(np.int64), second.astype(np.int64)

    def among(self, chosen: Collection[str]) -> AcrossPeople | None:
        """The comparisons of two people who are both chosen; None where fewer than two are."""
        kept = np.array([name in chosen for name in self.names])
        if kept.sum() < 2:
            return None
        first, second = self.places()
        photos = tuple(photo for photo, keep in zip(self.photos, kept, strict=True) if keep)
        names = tuple(name for name in self.names if name in chosen)
        return AcrossPeople(self.similarities[kept[first] & kept[second]], names, photos)


def across_people(
    pairs: Iterable[VerificationPair], embeddings: Mapping[Path, Embedding | None], most: int = MOST_PEOPLE
) -> AcrossPeople | None:
    """Compare everybody whom a list names with everybody else, by the first photo of each that has an embedding.

    `most` people are compared, the first of the list; memory and time grow with their square. None where the list does
    not name people, or fewer than two have an embedding.
    """
    firsts: dict[str, tuple[Path, Embedding] | None] = {}
    for pair in pairs:
        if pair.people is None:
            return None
        for person, photo in zip(pair.people, (pair.a, pair.b), strict=True):
            embedding = embeddings[photo]
            if firsts.get(person) is None:
                firsts[person] = None if embedding is None else (photo, embedding)
    found = [(name, *first) for name, first in firsts.items() if first is not None]
    compared = found[:most]
    if len(compared) < 2:
        return None
    vectors = np.array([embedding.vector for _, _, embedding in compared], dtype=np.float64)
    rows = [vectors[row + 1 :] @ vectors[row] for row in range(len(vectors) - 1)]
    names, photos = tuple(name for name, _, _ in compared), tuple(photo for _, photo, _ in compared)
    return AcrossPeople(np.concatenate(rows), names, photos, len(firsts) - len(found), len(found) - len(compared))
