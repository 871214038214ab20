"""What a data set is made of: pairs of photos, people with their photos, photos with a known number of faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class VerificationPair:
    """Two photos, and whether they show one person.

    Attributes:
        a: a file that was there when the set was read.
        b: likewise.
        mated: whether the label says that both show one person.
        fold: number of the cross-validation fold from 1; None where the set has none.
    """

    a: Path
    b: Path
    mated: bool
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class PairSet:
    """A list of pairs, in the order of its file, with the terms on which its photos may be used."""

    name: str
    terms: str
    pairs: tuple[VerificationPair, ...]

    @property
    def photos(self) -> tuple[Path, ...]:
        """Each photo once, in the order in which the pairs name them."""
        return tuple(dict.fromkeys(photo for pair in self.pairs for photo in (pair.a, pair.b)))


@dataclass(frozen=True, slots=True)
class Person:
    """One person of a set, and that person's photos; never empty."""

    identity: str
    photos: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class PeopleSet:
    """People with their photos, and the terms on which these may be used."""

    name: str
    terms: str
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class CountedPhoto:
    """A photo with the number of faces that a person counted in it.

    Attributes:
        path: a file that was there when the set was read.
        counts: the numbers of faces that are right; empty where the file must be refused.
        kind: what is special about it, in words; empty where nothing is.
    """

    path: Path
    counts: tuple[int, ...]
    kind: str = ""

    @property
    def must_be_refused(self) -> bool:
        """Whether an error is the only right answer."""
        return not self.counts


@dataclass(frozen=True, slots=True)
class CountedSet:
    """Photos with known numbers of faces, and the terms on which they may be used."""

    name: str
    terms: str
    photos: tuple[CountedPhoto, ...]
