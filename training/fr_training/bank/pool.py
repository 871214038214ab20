"""Defines the people and photos that a course may show, and leaves out what it must not show.

In a folder of people, everybody's first photo may be neutral and the second smiling. Then the position of a photo is
its condition, even if the data set does not say so. The model's embeddings show it: the difference between the first
and the second photo then has a similar direction for everybody, and otherwise a different one for each person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fr_core.scoring.calibration import SHA256, Calibration
from fr_core.scoring.checks import F64
from fr_core.types import ModelId

F32 = npt.NDArray[np.float32]

UNIT_TOLERANCE = 1e-3  # of the squared length of an embedding


class Taken(NamedTuple):
    """The condition of a photo, such as "smiling", and its session; "" where the data set says nothing.

    A session is a name within a person: photos of one session show the same light, clothes and hair. `track` marks the
    track of a video, which stands where a photo does.
    """

    condition: str = ""
    session: str = ""
    track: bool = False

    def apart(self, other: Taken) -> bool:
        """False if both photos are known to be of one session."""
        return not self.session or self.session != other.session


def pairs_among(taken: Sequence[Taken]) -> list[tuple[int, int]]:
    """Every two photos of a person, by index, that may be a pair: of two sessions, and a photo and a track of footage.

    Tracks stand behind the photos.
    """
    footage = any(one.track for one in taken)
    return [
        (a, b)
        for a, b in combinations(range(len(taken)), 2)
        if taken[a].apart(taken[b]) and (taken[a].track != taken[b].track) == footage
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """The pixels of a face and the colour of its skin, in little: they can give a pair away.

    `pixels` are three f32[n], the luma of a small picture of the face in its mask, of the face alone, and of the head
    with its hair and neck, each with mean 0 and length 1 (0 where all is one grey), so that the product of two is their
    correlation. `colours` is f32[2, 3], mean RGB in [0, 255] of the face, and of the head. All are read-only.
    """

    pixels: tuple[F32, F32, F32]
    colours: F32


@dataclass(frozen=True, slots=True)
class PoolPhoto:
    """A photo with one face, analysed."""

    number: int  # unique in the pool
    sha256: str  # of the photo's file, 64 lower-case hexadecimal digits
    embedding: F32 = field(compare=False)  # f32[D], length 1, read-only
    yaw_degrees: float  # turn of the head; positive = towards the right of the picture
    quality_score: float  # in [0, 1], 1 is best
    # How the photo was taken, as the data set states it, such as "smiling"; "" where it says nothing.
    condition: str = ""
    # In which session the photo was taken, as the data set states it; "" where it says nothing. It is a name within a
    # person: two photos of one session are never shown as a pair.
    session: str = ""
    looks: Looks | None = field(default=None, compare=False)  # None where nobody has looked
    bare: Looks | None = field(default=None, compare=False)  # as `looks`, with all around the head in place of the head
    # Of a track, whose template is `embedding`: its shots in the order of time, at least one; empty for a photo.
    shots: tuple[PoolPhoto, ...] = ()
    at_ms: int = 0  # of a shot, milliseconds after the first shot of its track

    @property
    def taken(self) -> Taken:
        """Its condition and its session, and whether it is a track."""
        return Taken(self.condition, self.session, bool(self.shots))

    @property
    def files(self) -> frozenset[str]:
        """SHA-256 of the photo, and of the shots of a track."""
        return frozenset({self.sha256, *(shot.sha256 for shot in self.shots)})

    def __post_init__(self) -> None:
        if not SHA256.fullmatch(self.sha256):
            raise ValueError("The hash of a photo is a SHA-256 of 64 lower-case hex digits.")
        vector = self.embedding
        if vector.ndim != 1 or vector.dtype != np.float32 or vector.flags.writeable:
            raise ValueError("The embedding of a photo is f32[D], and read-only.")
        if not abs(float(np.dot(vector, vector)) - 1.0) <= UNIT_TOLERANCE:
            raise ValueError("The embedding of a photo has length 1.")


@dataclass(frozen=True, slots=True)
class PoolPerson:
    """A person with a number that is unique in the pool, and photos, maybe none, in the order of the data set."""

    number: int
    photos: tuple[PoolPhoto, ...]
    # What the data set says, by kind, such as "gender": "female".
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    # Name of the data set. Its photos look alike, so that two people are compared within it where possible: else a pair
    # from two sets gives itself away as different.
    source: str = ""

    @property
    def taken(self) -> tuple[Taken, ...]:
        """The condition and the session of each photo."""
        return tuple(photo.taken for photo in self.photos)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """People with unique numbers, all of whose photos, with unique numbers too, one model analysed.

    `calibration` is of that model; None where it has none.
    """

    people: tuple[PoolPerson, ...]
    model: ModelId
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        photos = [photo for person in self.people for photo in person.photos]
        if len({person.number for person in self.people}) != len(self.people):
            raise ValueError("Two people of a pool have one number.")
        if len({photo.number for photo in photos}) != len(photos):
            raise ValueError("Two photos of a pool have one number.")
        if len({photo.embedding.shape for photo in photos}) > 1:
            raise ValueError("The embeddings of a pool differ in size.")


def cosine(a: F32, b: F32) -> float:
    """Of two embeddings, f32[D] of length 1, in [-1, 1]."""
    return float(np.clip(np.dot(a, b), -1.0, 1.0))


def with_surroundings(pool: Pool) -> Pool:
    """The pool for a course whose pictures show all around the head: `looks` are those of the whole picture."""
    people = (
        replace(person, photos=tuple(replace(photo, looks=photo.bare) for photo in person.photos))
        for person in pool.people
    )
    return replace(pool, people=tuple(people))


def without_photos(pool: Pool, excluded: Set[str]) -> Pool:
    """The pool without photos of those SHA-256, and tracks with such a shot, and without people who have none left."""
    people = (
        replace(person, photos=tuple(photo for photo in person.photos if photo.files.isdisjoint(excluded)))
        for person in pool.people
    )
    return replace(pool, people=tuple(person for person in people if person.photos))


def parted(pool: Pool) -> tuple[Pool, Pool]:
    """The people without tracks, and those with a pair of a photo and a track; others of footage are left out."""
    photos = tuple(person for person in pool.people if not any(one.track for one in person.taken))
    footage = tuple(
        person for person in pool.people if any(one.track for one in person.taken) and pairs_among(person.taken)
    )
    return replace(pool, people=photos), replace(pool, people=footage)


def without_shared_photos(pool: Pool) -> Pool:
    """The pool with each photo once, in an order that does not depend on the order of its people.

    A photo that a person has twice is kept once: a pair of it with itself would be no test. People who share a photo
    are most likely one person, as where two data sets hold the same people, and must not become two; only the
    one with most photos is kept. People without a photo are left out.
    """
    once = [
        replace(person, photos=tuple({photo.sha256: photo for photo in person.photos}.values()))
        for person in pool.people
        if person.photos
    ]
    once.sort(key=lambda person: (-len(person.photos), person.photos[0].sha256))
    seen: set[str] = set()
    kept: list[PoolPerson] = []
    for person in once:
        hashes = {photo.sha256 for photo in person.photos}
        if seen.isdisjoint(hashes):
            kept.append(person)
            seen |= hashes
    return replace(pool, people=tuple(sorted(kept, key=lambda person: person.photos[0].sha256)))


FEWEST = 20  # fewest people with two photos in a data set; with fewer, the order shows nothing
LEAST_SHARE = 0.7
"""Share of people whose own difference points the same way as that of all others; by chance it is half."""
CHANCE = 1e-3  # probability below which the order is not chance

_MOST = 300  # people to check
_DRAWS = 1_999


def with_order_as_condition(pool: Pool) -> tuple[Pool, bool]:
    """The pool, with conditions "photo 1", "photo 2", ... in data sets whose order shows; and whether any does.

    The people of the pool are distinct, and in an order of their own.
    """
    by_source: dict[str, list[PoolPerson]] = {}
    for person in pool.people:
        by_source.setdefault(person.source, []).append(person)
    shown = {source for source, people in by_source.items() if _order_shows(people)}
    people = list(pool.people)
    for index, person in enumerate(people):
        if person.source in shown:
            photos = (replace(photo, condition=f"photo {place}") for place, photo in enumerate(person.photos, 1))
            people[index] = replace(person, photos=tuple(photos))
    return replace(pool, people=tuple(people)), bool(shown)


def _order_shows(people: Sequence[PoolPerson]) -> bool:
    if any(photo.condition for person in people for photo in person.photos):
        return False  # the data set states the conditions
    ways = [
        person.photos[1].embedding.astype(np.float64) - person.photos[0].embedding
        for person in people
        if len(person.photos) > 1
    ][:_MOST]
    return len(ways) >= FEWEST and _alike(np.stack(ways))


def _alike(ways: F64) -> bool:
    """True if most of the differences, f64[n, D], point along the sum of the others, unlike in random orders."""
    along = ways @ ways.T
    np.fill_diagonal(along, 0.0)
    if np.mean(along.sum(axis=0) > 0.0) < LEAST_SHARE:
        return False
    signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(_DRAWS, len(ways)))
    drawn = np.einsum("dn,dn->d", signs @ along, signs)
    return bool((1 + (drawn >= along.sum()).sum()) / (1 + _DRAWS) < CHANCE)
