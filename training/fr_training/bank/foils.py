"""Finds foils, the other people on candidate lists: whom a search of all who may be shown brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fr_locales.messages import message
from fr_training.bank.impostors import DOUBTFUL
from fr_training.bank.labels import UNKNOWN, Index, numbered
from fr_training.bank.pool import F32, PoolPhoto
from fr_training.bank.prepared import MOST_PHOTOS, Bools, PreparedPool
from fr_training.bank.workbench import Workbench, too_few_alike

_HIDDEN = -2  # in place of the number of a condition
_BLOCK_CELLS = 1 << 22  # of f32: 16 MiB for each table of a block


@dataclass(frozen=True, slots=True)
class Foil:
    """Somebody else on a list, by the photo that is most similar to the probe, and that similarity, in [-1, 1]."""

    person: int
    photo: PoolPhoto
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The people who must stay for equated tests, and be no foil.

    i64[c] of pairs of two people, by pair of conditions as numbered in `PreparedPool`, and the odd ones of triads.
    """

    for_pairs: Index
    for_triads: int
    with_two: int  # of pairs of one person that are not chosen yet; then those of other forms, who may be foils
    others_with_two: int


class LacksFoilsError(Exception):
    """Somebody, by index in the prepared pool, cannot be searched for: so many foils of one sex are missing."""

    def __init__(self, person: int, missing: int) -> None:
        super().__init__(person, missing)
        self.person = person
        self.missing = missing


class Album:
    """All photos by which people can be found, as a gallery that enrols several of each holds them.

    `slots` counts the foils of all lists, and the people without a mate of equated tests, who come before them.
    """

    def __init__(self, prepared: PreparedPool, slots: int) -> None:
        self.slots = slots
        self._prepared = prepared
        self._photos = [photo for person in prepared.people for photo in person.photos[:MOST_PHOTOS]]
        self._counts = [len(person.photos[:MOST_PHOTOS]) for person in prepared.people]
        self._vectors = np.stack([photo.embedding for photo in self._photos])
        self._probes = np.stack([photo.embedding for photo in prepared.probes])
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]])
        self._conditions = numbered([(photo.condition,) for photo in self._photos])

    def blocks(self, people: Index) -> Iterator[tuple[F32, F32]]:
        """Compare the probes of i64[r] people with everybody, some rows at a time.

        Returns f32[some, n]: the similarity of the best photo in the condition of the person's photo on a list, -inf
        where there is none; and the score, which is less for unlike or doubtful people, -inf for the same person.
        """
        size = max(1, _BLOCK_CELLS // len(self._photos))
        for start in range(0, len(people), size):
            yield self._block(people[start : start + size])

    def _block(self, people: Index) -> tuple[F32, F32]:
        prepared = self._prepared
        faces = prepared.faces
        similarity = np.clip(self._probes[people] @ self._vectors.T, -1.0, 1.0)
        similarity[~self._shown(people)] = -np.inf
        best = np.maximum.reduceat(similarity, self._starts, axis=1)
        score = best.copy()
        everybody = np.arange(best.shape[1], dtype=np.int64)
        lost = faces.traits.unlike(people, everybody)
        if lost is not None:
            score -= lost
        score[best >= faces.ceiling] -= np.float32(DOUBTFUL)
        score[np.arange(len(people)), people] = -np.inf
        return best, score

    def _shown(self, people: Index) -> Bools:
        """bool[r, m]: which photos have the condition of the photo by which each person is on a list."""
        listed = self._prepared.listed
        wanted = [self._conditions[self._photo_of(person, listed[person])] for person in people.tolist()]
        return np.asarray(np.array(wanted)[:, None] == self._conditions[None, :], dtype=np.bool_)

    def _photo_of(self, person: int, photo: PoolPhoto) -> int:
        start = int(self._starts[person])
        return next(start + n for n in range(self._counts[person]) if self._photos[start + n] is photo)

    def hide(self, people: Index) -> None:
        """The probes of these people, who are on a list with another photo, are in no gallery."""
        for person in people.tolist():
            self._conditions[self._photo_of(person, self._prepared.probes[person])] = _HIDDEN

    def ranked(self, person: int) -> tuple[Index, F32]:
        """Everybody, i64[n], whom a search for a person's probe brings, best first, with the scores, f32[n]."""
        ((_, score),) = self.blocks(np.array([person], dtype=np.int64))
        order = np.argsort(-score[0], kind="stable").astype(np.int64)
        return order, score[0][order]

    def foil(self, person: int, other: int) -> Foil:
        """The photo of another person that is most similar to a person's probe."""
        start = int(self._starts[other])
        some = slice(start, start + self._counts[other])
        similarity = self._vectors[some] @ self._probes[person]
        similarity[~self._shown(np.array([person]))[0, some]] = -np.inf
        place = int(np.argmax(similarity))
        return Foil(other, self._photos[start + place], float(np.clip(similarity[place], -1.0, 1.0)))


class Room:
    """The people who may still be foils: on no list of the form, while enough people stay for equated tests."""

    def __init__(self, bench: Workbench, kept: Kept, taken: Sequence[int]) -> None:
        self._bench = bench
        free = bench.free & ~bench.for_triads
        self._allowed = free.copy()
        self._allowed[list(taken)] = True
        conditions = bench.prepared.conditions
        there = np.bincount(conditions[free & ~bench.barred], minlength=len(kept.for_pairs))
        self._by_condition = there - kept.for_pairs
        of_tests = int(kept.for_pairs.sum()) + kept.for_triads + kept.with_two
        self._all = int(free.sum()) - of_tests - (kept.others_with_two if of_tests else 0)
        self._with_two = int((free & bench.prepared.two).sum()) - kept.with_two
        self._here = self._allowed.copy()
        self._test = False

    def begin(self, searched: Sequence[int], *, test: bool) -> None:
        """Begin a form, in which everybody may be shown once; the person it searches for is no foil in it.

        A test has only people who are in no other form, and nobody else may show them.
        """
        self._test = test
        self._here = np.asarray(self._allowed & self._bench.free if test else self._allowed.copy(), dtype=np.bool_)
        self._here[list(searched)] = False

    def fitting(self) -> Bools:
        """bool[n]: who may be on the next list of this form."""
        return self._here

    def new(self, person: int) -> bool:
        """True if the person would be lost to equated tests by being a foil."""
        bench = self._bench
        return bool(bench.free[person] and not bench.listed[person])

    def allows(self, person: int) -> bool:
        """True if enough people are left for equated tests with the person on a list."""
        if not self.new(person):
            return True
        condition = int(self._bench.prepared.conditions[person])
        if self._bench.prepared.two[person] and self._with_two <= 0:
            return False
        return self._all > 0 and (bool(self._bench.barred[person]) or bool(self._by_condition[condition] > 0))

    def take(self, person: int) -> None:
        """Put the person on a list of this form."""
        if self.new(person):
            self._all -= 1
            self._with_two -= int(self._bench.prepared.two[person])
            if not self._bench.barred[person]:
                self._by_condition[int(self._bench.prepared.conditions[person])] -= 1
            self._bench.listed[person] = True
        self._here[person] = False
        if self._test:
            self._allowed[person] = False
            self._bench.take([person])


def foils_of(bench: Workbench, album: Album, person: int, wanted: int, room: Room) -> tuple[Foil, ...]:
    """Return the most similar people who may be shown, best first; they are taken.

    Their photos have the condition of the person's photo on a list. They have two photos if plenty of people do. They
    have the same sex if the labels say so, and the same data set, ethnicity and age if there are enough people:
    trainees could rule out others without comparing faces.
    """
    if not wanted:
        return ()
    ranked, score = album.ranked(person)
    people = ranked[np.isfinite(score)]
    people = people[room.fitting()[people]]
    if len(people) < wanted:
        raise too_few_alike(wanted - len(people), message("error.bank.the_lists"))
    people = _of_one_sex(bench, person, people, wanted)
    liked = np.zeros(len(bench.free), dtype=np.bool_)
    liked[bench.others(album.slots, room.fitting())] = True
    chosen: list[int] = []
    for one in [*people[liked[people]].tolist(), *people[~liked[people]].tolist()]:
        if len(chosen) == wanted:
            break
        if room.allows(one):
            room.take(one)
            chosen.append(one)
    if len(chosen) < wanted:
        raise too_few_alike(wanted - len(chosen), message("error.bank.the_lists"))
    return tuple(sorted((album.foil(person, one) for one in chosen), key=lambda foil: -foil.similarity))


def _of_one_sex(bench: Workbench, person: int, people: Index, wanted: int) -> Index:
    """Those of the people whose sex is that of the person, or is not known; raises `LacksFoilsError`."""
    sex = bench.prepared.faces.traits.sex
    if sex[person] == UNKNOWN:
        return people
    alike: Index = people[(sex[people] == sex[person]) | (sex[people] == UNKNOWN)]
    if len(alike) < wanted:
        raise LacksFoilsError(person, wanted - len(alike))
    return alike
