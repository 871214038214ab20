"""Prepares the pool: people in an order of their own, two photos of each, and their nearest impostors.

A person is an index in that order, which follows from the photos alone; the order and the numbers of the pool do not
matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fr_core.scoring.checks import F64
from fr_training.bank.clues import clues_of
from fr_training.bank.difficulty import Scale, scale_of
from fr_training.bank.impostors import Faces, Nearest, nearest
from fr_training.bank.labels import I32, Index, numbered, traits_of
from fr_training.bank.pool import F32, Pool, PoolPerson, PoolPhoto, pairs_among

Bools = npt.NDArray[np.bool_]

MOST_PHOTOS = 12  # of a person, among which the pair is looked for; some people of LFW have hundreds

_FOILS = 5  # of a list, the shortest of the usual ones
_FEWEST_TO_DOUBT = 20  # mated pairs, for their median to say anything


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPool:
    """People, ready to be shown, in an order of their own; so are those of `pool`."""

    pool: Pool
    first: tuple[PoolPhoto, ...]  # of each person, the photo that is a probe, or the one half of a pair
    # The photo that is enrolled, or the other half; the same as `first` where there is one photo, or one session.
    second: tuple[PoolPhoto, ...]
    two: Bools  # bool[n], who has two photos
    # Of each person, the photo that is searched for by a list, and the one that is on it: `first` and `second`, or the
    # other way round if both have one condition and the second has the nearer look-alikes.
    probes: tuple[PoolPhoto, ...]
    listed: tuple[PoolPhoto, ...]
    # Two photos of one condition for each person, for triads: `first` and `second` if they match; or None.
    alike: tuple[tuple[PoolPhoto, PoolPhoto] | None, ...]
    doubtful: Bools  # bool[n], whose two photos are so unlike that they most likely show two people
    conditions: I32  # i32[n], a number for each pair of conditions of `first` and `second`
    group: I32  # i32[n], a number for each data set and pair of conditions
    faces: Faces
    near: Nearest  # the nearest impostors of everybody among everybody
    mated_similarity: F64  # f64[n], of the two photos; NaN where there is one
    impostor_similarity: F64  # f64[n], of the nearest impostor; -1 where nobody else is there
    mated_clues: F64  # f64[n, CLUES], of the two photos; NaN where there is one, or the looks are not known
    impostor_clues: F64  # f64[n, CLUES], with the nearest impostor; NaN likewise
    strangers: float  # median similarity of people drawn at random, in [-1, 1]
    look_alikes: float  # mean similarity to the nearest impostor; that of strangers where there is nobody else
    same: Scale  # difficulties of pairs of one person
    # Of pairs of two people and of lists without the person searched for, by everybody's nearest impostor.
    different: Scale
    margin: Scale  # of triads and of lists with the person: the mated pair's similarity less the best impostor's

    @property
    def people(self) -> tuple[PoolPerson, ...]:
        """In the order of `people`."""
        return self.pool.people

    @property
    def two_alike(self) -> Bools:
        """People with two photos of one condition, bool[n]."""
        return np.array([pair is not None for pair in self.alike])

    @property
    def margins(self) -> F64:
        """f64[n]: similarity of the two photos less that of the nearest impostor; NaN where there is one photo."""
        return self.mated_similarity - self.impostor_similarity


def prepare(pool: Pool) -> PreparedPool:
    """Prepare a pool that `without_shared_photos` gave; ValueError where it holds nobody."""
    people = pool.people
    if not people:
        raise ValueError("The pool holds nobody.")
    floor = _strangers(people)
    pairs = [_two_of(person.photos, floor) for person in people]
    alike = tuple(_alike(person, pair, floor) for person, pair in zip(people, pairs, strict=True))
    two = np.array([a is not b for a, b in pairs])
    first, second = tuple(a for a, _ in pairs), tuple(b for _, b in pairs)
    shown = [(a.condition, b.condition) for a, b in pairs]
    faces = Faces(_stacked(first), _stacked(second), traits_of(people), np.inf)
    mated = np.einsum("nd,nd->n", faces.first, faces.second).astype(np.float64).clip(-1.0, 1.0)
    mated[~two] = np.nan
    if two.sum() >= _FEWEST_TO_DOUBT:
        faces = Faces(faces.first, faces.second, faces.traits, float(np.median(mated[two])))
    everybody = np.arange(len(people), dtype=np.int64)
    near = nearest(faces, everybody, everybody)
    turned = two & (_look_alikes(replace(faces, first=faces.second, second=faces.first)) > _look_alikes(faces, near))
    turned &= np.array([a == b for a, b in shown])
    alone = np.isneginf(near.score[:, 0])
    best = np.where(alone, -1.0, near.similarity[:, 0].astype(np.float64))
    return PreparedPool(
        pool=pool,
        first=first,
        second=second,
        probes=tuple(b if turn else a for a, b, turn in zip(first, second, turned.tolist(), strict=True)),
        listed=tuple(a if turn else b for a, b, turn in zip(first, second, turned.tolist(), strict=True)),
        two=two,
        alike=alike,
        doubtful=two & np.array([least < floor for least in map(_least, pairs, alike)]),
        conditions=numbered(shown),
        group=numbered([(person.source, *pair) for person, pair in zip(people, shown, strict=True)]),
        faces=faces,
        near=near,
        mated_similarity=mated,
        impostor_similarity=best,
        mated_clues=np.where(two[:, None], clues_of([*zip(first, second, strict=True)]), np.nan),
        impostor_clues=np.where(
            alone[:, None],
            np.nan,
            clues_of([(one, second[other]) for one, other in zip(first, near.people[:, 0].tolist(), strict=True)]),
        ),
        strangers=floor,
        look_alikes=floor if alone.all() else float(best[~alone].mean()),
        same=scale_of(mated[two], -1),
        different=scale_of(best[~alone], 1),
        margin=scale_of((mated - best)[two], -1),
    )


def _look_alikes(faces: Faces, near: Nearest | None = None) -> F32:
    """f32[n]: how similar the nearest impostors of everybody are, as many as a list may have."""
    everybody = np.arange(len(faces.first), dtype=np.int64)
    found = near or nearest(faces, everybody, everybody)
    return np.asarray(found.score[:, :_FOILS].mean(axis=1), dtype=np.float32)


def _alike(person: PoolPerson, pair: tuple[PoolPhoto, PoolPhoto], floor: float) -> tuple[PoolPhoto, PoolPhoto] | None:
    """Two photos of one condition: the pair if it matches, else two of the most frequent condition that has two."""
    if pair[0] is not pair[1] and pair[0].condition == pair[1].condition:
        return pair
    for condition, _ in Counter(photo.condition for photo in person.photos).most_common():
        found = _two_of([one for one in person.photos if one.condition == condition], floor)
        if found[0] is not found[1]:
            return found
    return None


def _two_of(photos: Sequence[PoolPhoto], floor: float) -> tuple[PoolPhoto, PoolPhoto]:
    """The two least similar photos of a person that are more similar than strangers are, else the two most similar.

    Of the many photos of one person, the least similar of all are most often of somebody else. Photos of one session
    are no pair; where there is none, it is the first photo twice.
    """
    photos = photos[:MOST_PHOTOS]
    found = np.array(pairs_among([photo.taken for photo in photos]), dtype=np.int64).reshape(-1, 2)
    if not len(found):
        return photos[0], photos[0]
    a, b = found.T
    vectors = _stacked(photos)
    similarity = (vectors @ vectors.T)[a, b]
    sound = similarity >= floor
    chosen = int(np.argmin(np.where(sound, similarity, np.inf))) if sound.any() else int(np.argmax(similarity))
    return photos[a[chosen]], photos[b[chosen]]


def _strangers(people: Sequence[PoolPerson]) -> float:
    """The median similarity of each person to the next; -1 where there is one person."""
    vectors = _stacked([person.photos[0] for person in people])
    if len(vectors) < 2:
        return -1.0
    return float(np.median(np.einsum("nd,nd->n", vectors[1:], vectors[:-1])))


def _stacked(photos: Sequence[PoolPhoto]) -> F32:
    return np.stack([photo.embedding for photo in photos])


def _least(*pairs: tuple[PoolPhoto, PoolPhoto] | None) -> float:
    return min(float(np.dot(pair[0].embedding, pair[1].embedding)) for pair in pairs if pair is not None)


def subset(mask: Bools) -> Index:
    """i64[k]: the people marked in bool[n]."""
    return np.flatnonzero(mask).astype(np.int64)
