"""Makes lists of candidates: a probe, and the people whom a search of all who may be shown brings.

Lists come before pairs of two people and triads, so that they have the first choice of look-alikes. A foil may be in
several forms, other than those of equated tests: a search brings those who look most alike, whether or not others have
seen them elsewhere. A person who is searched for is in no other form, except as a candidate of a list. Lists that are
tests themselves show nobody who is in any other form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Protocol

import numpy as np

from fr_core.scoring.checks import F64
from fr_locales.messages import message
from fr_training.answers import Poorer
from fr_training.bank.difficulty import spread
from fr_training.bank.foils import Album, Foil, Kept, Room, foils_of
from fr_training.bank.labels import UNKNOWN, Index
from fr_training.bank.manifest import Shown
from fr_training.bank.pool import PoolPhoto
from fr_training.bank.prepared import Bools, subset
from fr_training.bank.workbench import FormSet, Workbench, quota
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


MOST_ENROLLED = 1_000  # people in the gallery that own probes search: a picture is made of each
BEST_PROBES = 100  # of so many people who may be searched for, one is taken: those with the nearest look-alikes
SPARE_PROBES = 2  # people more than are searched for, so that lists of several difficulties can be chosen


@dataclass(frozen=True, slots=True)
class ListDraft:
    """A list that was chosen: whom it searches for, whether they are on it, and the foils, best first."""

    person: int
    mated: bool
    foils: tuple[Foil, ...]
    poorer: Poorer  # the probe


Lists = Mapping[str, Sequence[ListDraft]]  # by name of a form


def draft_present(bench: Workbench, sets: Sequence[FormSet], tests: int) -> Mapping[str, Index]:
    """Set people aside who will be on a list with another photo of theirs; by form. `tests` is as in `draft_lists`."""
    prepared = bench.prepared
    album = Album(prepared, _slots(sets) + tests)
    found: dict[str, Index] = {}
    for one in sets:
        count, forms = one.block.present, len(one.forms)
        people, best = _with_look_alikes(bench, album, bench.with_two(count * forms), one.block.size - 1, count * forms)
        b = prepared.margin.of(prepared.margins[people])
        fit = partial(_fit, _room(bench, bench.free & ~bench.for_triads), one.block.size, one, one.block.absent * forms)
        chosen = _taken(bench, people, b, spread(b[:best], count, forms, bench.rng("present", one.name)), fit)
        found |= {name: chosen[:, form] for form, name in enumerate(one.forms)}
    return found


def draft_lists(
    bench: Workbench,
    sets: Sequence[FormSet],
    present: Mapping[str, Index],
    elsewhere: Sequence[int],
    kept: Kept,
    tests: int,
) -> Lists:
    """Find the foils of all lists, and reserve people who are searched for and not on the list.

    People `elsewhere` are in forms already, and may be foils. Equated tests need `tests` people without a mate, who
    have the first claim to people with two photos. Raises `TooFewPeople` if too few people have photos in
    the condition that a list shows, and `LacksFoilsError` if too few have the sex of somebody who is searched for.
    """
    album = Album(bench.prepared, _slots(sets) + tests)
    absent: dict[str, Index] = {}
    two = bench.prepared.two
    # Those on lists are enrolled, so that a search for somebody else brings them.
    on_lists = [person for one in sets if not one.block.equated for name in one.forms for person in present[name]]
    taken = [*elsewhere, *map(int, on_lists)]
    for one in sets:
        spare = int((bench.free & two & ~bench.for_triads).sum()) - kept.with_two - kept.others_with_two
        mated = [person for name in one.forms for person in present[name].tolist()]
        chosen = _absent(bench, album, one, mated, spare, [] if one.block.equated else taken)
        absent |= {name: chosen[:, form] for form, name in enumerate(one.forms)}
    for people in present.values():
        album.hide(people)
    room = Room(bench, kept, taken)
    found: dict[str, list[ListDraft]] = {}
    for one in sets:  # equated ones first
        for name in one.forms:
            room.begin([*present[name].tolist(), *absent[name].tolist()], test=bool(one.block.equated))
            wanted = [(person, mated) for mated in (True, False) for person in (present if mated else absent)[name]]
            # In an order that is drawn, so that neither kind of list has the first choice.
            order = bench.rng("searches", name).permutation(len(wanted)).tolist()
            found[name] = []
            for person, mated in (wanted[number] for number in order):
                foils = foils_of(bench, album, int(person), one.block.size - mated, room)
                found[name].append(ListDraft(int(person), mated, foils, one.block.poorer))
    return found


def others_of_lists(bench: Workbench, sets: Sequence[FormSet], present: Mapping[str, Index]) -> tuple[Index, Index]:
    """Count the other people whom the lists show, by pair of conditions as numbered in `PreparedPool`.

    Returns i64[c] of people who are in no other form, and are not on a list that searches for them; and i64[c] of
    foils, who may be in other forms.
    """
    conditions = bench.prepared.conditions
    probes = np.zeros(int(conditions.max()) + 1, dtype=np.int64)
    foils = probes.copy()
    for one in sets:
        mated = [person for name in one.forms for person in present[name].tolist()]
        absent = quota(one.block.absent, mated, subset(bench.free & ~bench.barred), conditions)
        probes += absent * len(one.forms)
        on_lists = np.bincount(conditions[mated], minlength=len(foils)) if mated else 0 * foils
        if one.block.equated:
            probes += absent * len(one.forms) * one.block.size + on_lists * (one.block.size - 1)
            continue
        # In one form nobody is shown twice.
        foils = np.maximum(foils, absent * one.block.size + on_lists * (one.block.size - 1))
    return probes, foils


def _absent(
    bench: Workbench, album: Album, one: FormSet, mated: Sequence[int], spare: int, taken: Sequence[int]
) -> Index:
    """i64[absent, forms]: people with the conditions and data sets of those who are on the list, `mated`.

    At most `spare` of them have two photos. People who are `taken` may be foils as well as those who are free.
    """
    prepared, rng = bench.prepared, bench.rng("absent", one.name)
    count, forms = one.block.absent, len(one.forms)
    people = bench.others(count * forms)
    if spare < count * forms:
        free = bench.free & ~bench.for_triads & ~bench.barred
        people = np.concatenate([subset(free & ~prepared.two), people[prepared.two[people]][: max(0, spare)]])
    wanted = quota(count, mated, people, prepared.group)
    among = bench.free & ~bench.for_triads
    among[[*taken]] = True
    among[mated] = False
    room = _room(bench, among) - (one.block.size - 1) * _by_sex(bench, mated)
    chosen = np.empty((0, forms), dtype=np.int64)
    for number in np.unique(prepared.group):
        own = people[prepared.group[people] == number]
        chosen = _spread(bench, album, own, one, min(int(wanted[number]), len(own) // forms), rng, room, chosen)
    for number in np.unique(prepared.conditions):
        groups = np.unique(prepared.group[prepared.conditions == number])
        missing = int(wanted[groups].sum()) - int((prepared.conditions[chosen[:, 0]] == number).sum())
        own = bench.others_so_shown(int(number), missing * forms, message("error.bank.the_lists"))
        chosen = _spread(bench, album, own, one, missing, rng, room, chosen)
    return chosen


def _spread(
    bench: Workbench,
    album: Album,
    people: Index,
    one: FormSet,
    count: int,
    rng: np.random.Generator,
    room: Index,
    before: Index,
) -> Index:
    """i64[k + count, forms]: the people taken `before`, and `count` more for each form, of all difficulties.

    No other exercise may show them. `room` is as in `_fit`, and counts those taken before and their foils too.
    """
    forms, size = len(one.forms), one.block.size
    people, best = _with_look_alikes(bench, album, people, size, count * forms)
    b = bench.prepared.different.of(bench.prepared.impostor_similarity[people])
    left, later = room - (size + 1) * _by_sex(bench, before.ravel()), one.block.absent - len(before) - count
    fit = partial(_fit, left, size + 1, one, later * forms)
    return np.concatenate([before, _taken(bench, people, b, spread(b[:best], count, forms, rng), fit)])


def _taken(bench: Workbench, people: Index, b: F64, drawn: Index, fit: Callable[[Index], bool]) -> Index:
    """Take those who were drawn, by index in people, or others for those who cannot be searched for."""
    chosen: Index = people[_with_foils(bench, people, b, _others_for(bench, people, b, drawn), fit)]
    bench.take(chosen.ravel().tolist())
    return chosen


def _room(bench: Workbench, among: Bools) -> Index:
    """i64[s]: the number of people among bool[n] whom lists of each sex may show; lists may show unknown sex too."""
    return _by_sex(bench, among) + int((bench.prepared.faces.traits.sex[among] == UNKNOWN).sum())


def _by_sex(bench: Workbench, people: Bools | Index | Sequence[int]) -> Index:
    """i64[s]: the number of people of each sex that labels name."""
    sex = bench.prepared.faces.traits.sex
    own = sex[people]
    return np.bincount(own[own != UNKNOWN], minlength=int(sex.max()) + 1)


def _fit(room: Index, people: int, one: FormSet, later: int, searched: Index) -> bool:
    """True if lists of one sex can be filled for all people searched for, i64[s] by sex.

    A list takes `people`; `room` counts those whom lists may show, i64[s], and must be enough for `later` more lists.
    """
    left = room - people * searched
    return bool((left >= 0).all() and (left // (one.block.size + 1)).sum() >= later)


def _with_foils(bench: Workbench, people: Index, b: F64, chosen: Index, fit: Callable[[Index], bool]) -> Index:
    """Replace some people by others of another sex, if their lists would need more of one sex than there are.

    It replaces as few as possible, by those with the nearest look-alikes, each for the one nearest in difficulty; all
    are indices in people. Where nothing helps, `foils_of` says who is missing.
    """
    sex = bench.prepared.faces.traits.sex[people]
    counts = _by_sex(bench, people[chosen.ravel()])
    if not len(counts) or fit(counts):
        return chosen
    spare = np.setdiff1d(np.flatnonzero(~bench.unsearched[people]), chosen)
    there = np.array([(sex[spare] == number).sum() for number in range(len(counts))])
    unit = np.eye(len(counts), dtype=np.int64)
    moves = (
        (number, one, other)
        for number in range(1, 1 + chosen.size)
        for one, other in permutations(range(len(counts)), 2)
        if number <= min(counts[one], there[other]) and fit(counts + number * (unit[other] - unit[one]))
    )
    number, one, other = next(moves, (0, 0, 0))
    found = chosen.copy()
    for person in spare[sex[spare] == other][:number].tolist():
        places = np.argwhere(sex[found] == one)
        nearest = places[int(np.argmin(np.abs(b[found[tuple(places.T)]] - b[person])))]
        found[tuple(nearest)] = person
    return found


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


def _with_look_alikes(bench: Workbench, album: Album, people: Index, foils: int, least: int) -> tuple[Index, int]:
    """Put those of i64[k] people first who have the nearest look-alikes, as many as a list has foils.

    Returns them with the number of those who are searched for: `least` and a few more, or one in `BEST_PROBES`; the
    others are their replacements. People who lack foils of one sex come last.
    """
    best = min(len(people), max(least + SPARE_PROBES, len(people) // BEST_PROBES))
    if not foils or not len(people):
        return people, len(people)
    liked = np.zeros(len(bench.free), dtype=np.bool_)
    liked[bench.others(album.slots)] = True
    liked &= ~bench.for_triads
    found = [
        np.sort(np.where(liked, score, -np.inf), axis=1)[:, -foils:].mean(axis=1) for _, score in album.blocks(people)
    ]
    return people[np.argsort(-np.concatenate(found), kind="stable")], best


def _slots(sets: Sequence[FormSet]) -> int:
    return sum(len(one.forms) * (one.block.items * one.block.size - one.block.present) for one in sets)


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
        on_list.insert(mate, Foil(person, prepared.listed[person], own))
    shown = (Shown(prepared.probes[person], poorer=draft.poorer), *(Shown(foil.photo) for foil in on_list))
    key = ListKey(mate, tuple(foil.similarity for foil in on_list))
    b = prepared.margin.b(own - best) if draft.mated else prepared.different.b(best)
    return bench.item(shown, tuple(dict.fromkeys((person, *(foil.person for foil in on_list)))), key, b)
