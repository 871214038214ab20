"""Makes lists of candidates: a probe, and the people whom a search of all who may be shown brings.

Lists come before pairs of two people and triads, so that they have the first choice of look-alikes. A foil may be in
several forms, other than those of equated tests: a search brings whoever looks most alike, whether or not somebody has
seen them elsewhere. Whoever is searched for is in no other form, except as a candidate of a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fr_core.scoring.checks import F64
from fr_locales.messages import message
from fr_training.answers import Poorer
from fr_training.bank.difficulty import spread
from fr_training.bank.impostors import DOUBTFUL
from fr_training.bank.labels import UNKNOWN, Index, numbered
from fr_training.bank.manifest import Shown
from fr_training.bank.pool import F32, PoolPhoto
from fr_training.bank.prepared import MOST_PHOTOS, Bools, PreparedPool, subset
from fr_training.bank.workbench import OVERSUPPLY, FormSet, Workbench, quota, too_few_alike
from fr_training.courses import Item
from fr_training.errors import TooFewPeople
from fr_training.keys import ListKey


@dataclass(frozen=True, slots=True)
class Ranked:
    """A person, by number, who was found, and the similarity to the probe, in [-1, 1]: a lead, no identity."""

    person: int
    similarity: float


class Matcher(Protocol):
    """The gallery that own probes search; one object serves one course."""

    def enrol(self, people: Sequence[tuple[int, PoolPhoto]]) -> None:
        """Take up people: the number of each, which is unique, and the photo to be found by. It is called once."""


MOST_ENROLLED = 1_000
"""People in the gallery that own probes search: a picture is made of each."""

BEST_PROBES = 100
"""Of so many people who may be searched for, one is taken: those with the nearest look-alikes."""

_HIDDEN = -2  # in place of the number of a condition
_BLOCK_CELLS = 1 << 22  # of f32: 16 MiB for each table of a block


@dataclass(frozen=True, slots=True)
class Foil:
    """Somebody else on a list, by the photo that is most similar to the probe, and that similarity, in [-1, 1]."""

    person: int
    photo: PoolPhoto
    similarity: float


@dataclass(frozen=True, slots=True)
class ListDraft:
    """A list that was chosen: whom it searches for, whether they are on it, and the foils, best first."""

    person: int
    mated: bool
    foils: tuple[Foil, ...]
    poorer: Poorer  # the probe


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


Lists = Mapping[str, Sequence[ListDraft]]
"""By name of a form."""


def draft_present(bench: Workbench, sets: Sequence[FormSet]) -> Mapping[str, Index]:
    """Set people aside who will be on a list with another photo of theirs; by form."""
    prepared = bench.prepared
    album = Album(prepared, _slots(sets))
    found: dict[str, Index] = {}
    for one in sets:
        count, forms = one.block.present, len(one.forms)
        people = _with_look_alikes(bench, album, bench.with_two(count * forms), one.block.size - 1, count * forms)
        b = prepared.margin.of(prepared.margins[people])
        chosen = people[_others_for(bench, people, b, spread(b, count, forms, bench.rng("present", one.name)))]
        bench.take(chosen.ravel().tolist())
        found |= {name: chosen[:, form] for form, name in enumerate(one.forms)}
    return found


def draft_lists(
    bench: Workbench, sets: Sequence[FormSet], present: Mapping[str, Index], elsewhere: Sequence[int], kept: Kept
) -> Lists:
    """Find the foils of all lists, and reserve people who are searched for and not on the list.

    People `elsewhere` are in forms already, and may be foils. Raises `TooFewPeople` if too few people have photos in
    the condition that a list shows, and `LacksFoilsError` if too few have the sex of somebody who is searched for.
    """
    album = Album(bench.prepared, _slots(sets))
    absent: dict[str, Index] = {}
    two = bench.prepared.two
    for one in sets:
        spare = int((bench.free & two & ~bench.for_triads).sum()) - kept.with_two - kept.others_with_two
        chosen = _absent(bench, album, one, present, spare)
        absent |= {name: chosen[:, form] for form, name in enumerate(one.forms)}
    for people in present.values():
        album.hide(people)
    # Those on lists are enrolled, so that a search for somebody else brings them.
    room = _Room(bench, kept, [*elsewhere, *(person for people in present.values() for person in people.tolist())])
    found: dict[str, list[ListDraft]] = {}
    for one in sets:
        for name in one.forms:
            room.begin([*present[name].tolist(), *absent[name].tolist()])
            wanted = [(person, mated) for mated in (True, False) for person in (present if mated else absent)[name]]
            # In an order that is drawn, so that neither kind of list has the first choice.
            order = bench.rng("searches", name).permutation(len(wanted)).tolist()
            found[name] = []
            for person, mated in (wanted[number] for number in order):
                foils = _foils(bench, album, int(person), one.block.size - mated, room)
                found[name].append(ListDraft(int(person), mated, foils, one.block.poorer))
    return found


def others_of_lists(bench: Workbench, sets: Sequence[FormSet], present: Mapping[str, Index]) -> tuple[Index, Index]:
    """Count the other people whom the lists show, by pair of conditions as numbered in `PreparedPool`.

    Returns i64[c] of people who are searched for and not on the list, and i64[c] of foils, who may be in other forms.
    """
    conditions = bench.prepared.conditions
    probes = np.zeros(int(conditions.max()) + 1, dtype=np.int64)
    foils = probes.copy()
    for one in sets:
        mated = [person for name in one.forms for person in present[name].tolist()]
        absent = quota(one.block.absent, mated, subset(bench.free & ~bench.barred), conditions)
        probes += absent * len(one.forms)
        on_lists = np.bincount(conditions[mated], minlength=len(foils)) if mated else 0 * foils
        # In one form nobody is shown twice.
        foils = np.maximum(foils, absent * one.block.size + on_lists * (one.block.size - 1))
    return probes, foils


def _absent(bench: Workbench, album: Album, one: FormSet, present: Mapping[str, Index], spare: int) -> Index:
    """i64[absent, forms]: people with the conditions and data sets of those who are on the list.

    At most `spare` of them have two photos.
    """
    prepared, rng = bench.prepared, bench.rng("absent", one.name)
    count, forms = one.block.absent, len(one.forms)
    people = bench.others(count * forms)
    if spare < count * forms:
        free = bench.free & ~bench.for_triads & ~bench.barred
        people = np.concatenate([subset(free & ~prepared.two), people[prepared.two[people]][: max(0, spare)]])
    mated = [person for name in one.forms for person in present[name].tolist()]
    wanted = quota(count, mated, people, prepared.group)
    chosen = np.empty((0, forms), dtype=np.int64)
    for number in np.unique(prepared.group):
        own = people[prepared.group[people] == number]
        chosen = np.concatenate(
            [chosen, _spread(bench, album, own, one, min(int(wanted[number]), len(own) // forms), rng)]
        )
    for number in np.unique(prepared.conditions):
        groups = np.unique(prepared.group[prepared.conditions == number])
        missing = int(wanted[groups].sum()) - int((prepared.conditions[chosen[:, 0]] == number).sum())
        own = bench.others_so_shown(int(number), missing * forms, message("error.bank.the_lists"))
        chosen = np.concatenate([chosen, _spread(bench, album, own, one, missing, rng)])
    return chosen


def _spread(bench: Workbench, album: Album, people: Index, one: FormSet, count: int, rng: np.random.Generator) -> Index:
    """Take some of the people, i64[count, forms], over all difficulties; no other exercise may show them."""
    forms = len(one.forms)
    people = _with_look_alikes(bench, album, people, one.block.size, count * forms)
    b = bench.prepared.different.of(bench.prepared.impostor_similarity[people])
    chosen = people[_others_for(bench, people, b, spread(b, count, forms, rng))]
    bench.take(chosen.ravel().tolist())
    return chosen


def _others_for(bench: Workbench, people: Index, b: F64, chosen: Index) -> Index:
    """Put the people nearest in difficulty in the place of those whose list is set aside; all are indices in people."""
    found = chosen.copy()
    unwanted = bench.unsearched[people]
    for place in map(tuple, np.argwhere(unwanted[chosen])):
        spare = np.setdiff1d(np.flatnonzero(~unwanted), found)
        if not len(spare):
            raise TooFewPeople(message("error.bank.people_for_replacements", count=1), missing="1")
        found[place] = spare[int(np.argmin(np.abs(b[spare] - b[chosen[place]])))]
    return found


def _with_look_alikes(bench: Workbench, album: Album, people: Index, foils: int, least: int) -> Index:
    """Those of i64[k] people who have the nearest look-alikes, as many as a list has foils: one in `BEST_PROBES`.

    At least `OVERSUPPLY` times `least` if there are so many. Whoever lacks foils of one sex comes last.
    """
    most = max(OVERSUPPLY * least, len(people) // BEST_PROBES)
    if len(people) <= most or not foils:
        return people
    liked = np.zeros(len(bench.free), dtype=np.bool_)
    liked[bench.others(album.slots)] = True
    liked &= ~bench.for_triads
    found = [
        np.sort(np.where(liked, score, -np.inf), axis=1)[:, -foils:].mean(axis=1) for _, score in album.blocks(people)
    ]
    return np.sort(people[np.argsort(-np.concatenate(found), kind="stable")[:most]])


def _slots(sets: Sequence[FormSet]) -> int:
    return sum(len(one.forms) * (one.block.items * one.block.size - one.block.present) for one in sets)


class Album:
    """All photos by which people can be found, as a gallery that enrols several of each holds them.

    `slots` counts the foils of all lists.
    """

    def __init__(self, prepared: PreparedPool, slots: int) -> None:
        self.slots = slots
        self._prepared = prepared
        self._photos = [photo for person in prepared.people for photo in person.photos[:MOST_PHOTOS]]
        self._counts = [len(person.photos[:MOST_PHOTOS]) for person in prepared.people]
        self._vectors = np.stack([photo.embedding for photo in self._photos])
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]])
        self._conditions = numbered([(photo.condition,) for photo in self._photos])

    def blocks(self, people: Index) -> Iterator[tuple[F32, F32]]:
        """Compare the probes of i64[r] people with everybody, some rows at a time.

        Returns f32[some, n]: the similarity of the best photo in the condition of the person's photo on a list, -inf
        where there is none; and the score, which is less for whoever is unlike or doubtful, -inf for the same person.
        """
        size = max(1, _BLOCK_CELLS // len(self._photos))
        for start in range(0, len(people), size):
            yield self._block(people[start : start + size])

    def _block(self, people: Index) -> tuple[F32, F32]:
        prepared = self._prepared
        faces = prepared.faces
        similarity = np.clip(faces.first[people] @ self._vectors.T, -1.0, 1.0)
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
        listed = self._prepared.second
        wanted = [self._conditions[self._photo_of(person, listed[person])] for person in people.tolist()]
        return np.asarray(np.array(wanted)[:, None] == self._conditions[None, :], dtype=np.bool_)

    def _photo_of(self, person: int, photo: PoolPhoto) -> int:
        start = int(self._starts[person])
        return next(start + n for n in range(self._counts[person]) if self._photos[start + n] is photo)

    def hide(self, people: Index) -> None:
        """The probes of these people, who are on a list with another photo, are in no gallery."""
        for person in people.tolist():
            self._conditions[self._photo_of(person, self._prepared.first[person])] = _HIDDEN

    def ranked(self, person: int) -> tuple[Index, F32]:
        """Everybody, i64[n], whom a search for a person's probe brings, best first, with the scores, f32[n]."""
        ((_, score),) = self.blocks(np.array([person], dtype=np.int64))
        order = np.argsort(-score[0], kind="stable").astype(np.int64)
        return order, score[0][order]

    def foil(self, person: int, other: int) -> Foil:
        """The photo of another person that is most similar to a person's probe."""
        start = int(self._starts[other])
        some = slice(start, start + self._counts[other])
        similarity = self._vectors[some] @ self._prepared.faces.first[person]
        similarity[~self._shown(np.array([person]))[0, some]] = -np.inf
        place = int(np.argmax(similarity))
        return Foil(other, self._photos[start + place], float(np.clip(similarity[place], -1.0, 1.0)))


class _Room:
    """Who may still be a foil: somebody on no list of the form, while enough people stay for equated tests."""

    def __init__(self, bench: Workbench, kept: Kept, taken: Sequence[int]) -> None:
        self._bench = bench
        free = bench.free & ~bench.for_triads
        self._allowed = free.copy()
        self._allowed[list(taken)] = True
        conditions = bench.prepared.conditions
        there = np.bincount(conditions[free & ~bench.barred], minlength=len(kept.for_pairs))
        self._by_condition = there - kept.for_pairs
        self._all = int(free.sum()) - int(kept.for_pairs.sum()) - kept.for_triads
        self._all -= kept.with_two
        self._with_two = int((free & bench.prepared.two).sum()) - kept.with_two
        self._here = self._allowed.copy()

    def begin(self, searched: Sequence[int]) -> None:
        """Begin a form, in which everybody may be shown once; whoever it searches for is no foil in it."""
        self._here = self._allowed.copy()
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


def _foils(bench: Workbench, album: Album, person: int, wanted: int, room: _Room) -> tuple[Foil, ...]:
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


def enrolled(bench: Workbench, lists: Lists, own: int) -> Index:
    """i64[g]: the people whom own probes search, ascending: those on lists with a photo, and those in no form.

    All forms have their people already. `own` is the length of the longest list of an own probe. The gallery is limited
    to `MOST_ENROLLED` people who are in no form, those with two photos first: of them there is a probe.
    """
    free = subset(bench.free)
    most = max(MOST_ENROLLED, own)
    if len(free) > most:
        drawn = bench.rng("enrolled").permutation(free)
        free = drawn[np.argsort(~bench.prepared.two[drawn], kind="stable")][:most]
    mates = np.array([one.person for drafts in lists.values() for one in drafts if one.mated], dtype=np.int64)
    return np.sort(np.concatenate([free, mates]))


def list_items(bench: Workbench, lists: Lists) -> dict[str, list[Item]]:
    """The items of the lists, by name of the form."""
    return {name: [_item(bench, one) for one in drafts] for name, drafts in lists.items()}


def _item(bench: Workbench, draft: ListDraft) -> Item:
    prepared, person = bench.prepared, draft.person
    on_list = list(draft.foils)
    best = on_list[0].similarity if on_list else float(prepared.impostor_similarity[person])
    own = float(prepared.mated_similarity[person])
    mate = None
    if draft.mated:
        mate = sum(foil.similarity >= own for foil in on_list)
        on_list.insert(mate, Foil(person, prepared.second[person], own))
    shown = (Shown(prepared.first[person], poorer=draft.poorer), *(Shown(foil.photo) for foil in on_list))
    key = ListKey(mate, tuple(foil.similarity for foil in on_list))
    b = prepared.margin.b(own - best) if draft.mated else prepared.different.b(best)
    return bench.item(shown, tuple(dict.fromkeys((person, *(foil.person for foil in on_list)))), key, b)
