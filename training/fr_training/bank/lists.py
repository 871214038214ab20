"""Makes lists of candidates: a probe, and the enrolled people whom the matcher finds for it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fr_locales.messages import message
from fr_training.bank.difficulty import spread
from fr_training.bank.labels import Index
from fr_training.bank.manifest import Shown
from fr_training.bank.pool import F32, PoolPhoto
from fr_training.bank.prepared import subset
from fr_training.bank.workbench import OVERSUPPLY, FormSet, Workbench, quota, too_few_alike
from fr_training.courses import Item
from fr_training.keys import ListKey


@dataclass(frozen=True, slots=True)
class Ranked:
    """A person, by number, who was found, and the similarity to the probe, in [-1, 1]: a lead, no identity."""

    person: int
    similarity: float


class Matcher(Protocol):
    """Enrolled people who can be searched; one object serves one course."""

    def enrol(self, people: Sequence[tuple[int, PoolPhoto]]) -> None:
        """Take up people: the number of each, which is unique, and the photo to be found by. It is called once."""

    def search(self, probe: F32, k: int) -> Sequence[Ranked]:
        """The k people, at least 1, most similar to a probe, f32[D] of length 1, best first; all if fewer are there."""


MOST_ENROLLED = 1_000
"""People in the gallery that own probes search: a picture is made of each. Lists alone search everybody who is free."""


@dataclass(frozen=True, slots=True)
class Probes:
    """The people whose photos are searched for in a form: i64[p], enrolled with another photo, and i64[a], not."""

    form: str
    size: int
    present: Index
    absent: Index


def draft_present(bench: Workbench, sets: Sequence[FormSet]) -> Mapping[str, Index]:
    """Set people aside who will be on a list with another photo of theirs; by form."""
    prepared = bench.prepared
    found: dict[str, Index] = {}
    for one in sets:
        count, forms = one.block.present, len(one.forms)
        people = bench.with_two(count * forms)
        b = prepared.margin.of(prepared.margins[people])
        chosen = people[spread(b, count, forms, bench.rng("present", one.name))]
        bench.take(chosen.ravel().tolist())
        found |= {name: chosen[:, form] for form, name in enumerate(one.forms)}
    return found


def draft_absent(bench: Workbench, sets: Sequence[FormSet], present: Mapping[str, Index]) -> Mapping[str, Index]:
    """Reserve people who are searched for but are not on the list, by form.

    Raises `TooFewPeople` if too few free people have photos in the conditions of those who are on the list.
    """
    found: dict[str, Index] = {}
    for one in sets:
        chosen = _absent(bench, one, present)
        found |= {name: chosen[:, form] for form, name in enumerate(one.forms)}
    return found


def others_of_lists(bench: Workbench, sets: Sequence[FormSet], present: Mapping[str, Index]) -> Index:
    """Count the other people whom the lists show, by pair of conditions as numbered in `PreparedPool`, i64[c]."""
    conditions = bench.prepared.conditions
    found = np.zeros(int(conditions.max()) + 1, dtype=np.int64)
    for one in sets:
        mated = [person for name in one.forms for person in present[name].tolist()]
        absent = quota(one.block.absent, mated, subset(bench.free & ~bench.barred), conditions) * len(one.forms)
        found += absent * (1 + one.block.size)
        found += np.bincount(conditions[mated], minlength=len(found)) * (one.block.size - 1) if mated else 0
    return found


def _absent(bench: Workbench, one: FormSet, present: Mapping[str, Index]) -> Index:
    """i64[absent, forms]: people with the conditions and data sets of those who are on the list."""
    prepared, rng = bench.prepared, bench.rng("absent", one.name)
    count, forms = one.block.absent, len(one.forms)
    people = bench.others(count * forms)
    mated = [person for name in one.forms for person in present[name].tolist()]
    wanted = quota(count, mated, people, prepared.group)
    chosen = np.empty((0, forms), dtype=np.int64)
    for number in np.unique(prepared.group):
        own = people[prepared.group[people] == number]
        chosen = np.concatenate([chosen, _spread(bench, own, min(int(wanted[number]), len(own) // forms), forms, rng)])
    for number in np.unique(prepared.conditions):
        groups = np.unique(prepared.group[prepared.conditions == number])
        missing = int(wanted[groups].sum()) - int((prepared.conditions[chosen[:, 0]] == number).sum())
        own = bench.others_so_shown(int(number), missing * forms, message("error.bank.the_lists"))
        chosen = np.concatenate([chosen, _spread(bench, own, missing, forms, rng)])
    return chosen


def _spread(bench: Workbench, people: Index, count: int, forms: int, rng: np.random.Generator) -> Index:
    """Take some of the people, i64[count, forms], over all difficulties; no other exercise may show them."""
    b = bench.prepared.different.of(bench.prepared.impostor_similarity[people])
    chosen = people[spread(b, count, forms, rng)]
    bench.take(chosen.ravel().tolist())
    return chosen


def enrolled(bench: Workbench, probes: Sequence[Probes], own: int) -> Index:
    """i64[g]: the people of the gallery, ascending: those who are searched for and present, and those in no form.

    All other forms have their people already. `own` is the length of the longest list of an own probe, 0 where there is
    none; where there is one, the gallery is limited to `MOST_ENROLLED` people who are in no form, those with two photos
    first: of them there is a probe.
    """
    free = subset(bench.free)
    foils = sum(len(one.present) * (one.size - 1) + len(one.absent) * one.size for one in probes)
    most = max(MOST_ENROLLED, own + foils)
    if own and len(free) > most:
        drawn = bench.rng("enrolled").permutation(free)
        free = drawn[np.argsort(~bench.prepared.two[drawn], kind="stable")][:most]
    return np.sort(np.concatenate([free, *(one.present for one in probes)]))


def list_items(bench: Workbench, probes: Sequence[Probes], gallery: Index, matcher: Matcher) -> dict[str, list[Item]]:
    """Search for every probe, in an order that is drawn, so that no form has the first choice of candidates.

    Raises `TooFewPeople` if too few people are left with photos in the condition that a list shows, and ValueError if
    the matcher returns fewer people than it must.
    """
    mates = {person for one in probes for person in one.present.tolist()}
    prepared = bench.prepared
    left = {prepared.people[person].number: person for person in gallery.tolist() if person not in mates}
    searches = [
        (one, person, mated)
        for one in probes
        for mated in (True, False)
        for person in (one.present if mated else one.absent).tolist()
    ]
    items: dict[str, list[Item]] = {one.form: [] for one in probes}
    for number in bench.rng("searches").permutation(len(searches)).tolist():
        one, person, mated = searches[number]
        wanted = one.size - 1 if mated else one.size
        foils = _foils(bench, matcher, person, wanted, left, len(gallery))
        for foil, _ in foils:
            del left[prepared.people[foil].number]
        bench.take(foil for foil, _ in foils)
        items[one.form].append(_item(bench, person, mated, foils))
    return items


def _foils(
    bench: Workbench, matcher: Matcher, person: int, wanted: int, left: Mapping[int, int], gallery: int
) -> list[tuple[int, float]]:
    """Return the most similar people who may still be shown, and their similarities, best first.

    Their photos have the condition of the person's photo on a list. They have two photos if plenty of people do. They
    have the same data set, sex, ethnicity and age, if the labels say so and there are enough people: trainees could
    rule out others without comparing faces.
    """
    prepared = bench.prepared
    condition = prepared.second[person].condition
    fitting = {number: one for number, one in left.items() if prepared.second[one].condition == condition}
    if len(fitting) < wanted:
        raise too_few_alike(wanted - len(fitting), message("error.bank.the_lists"))
    if not wanted:
        return []
    with_two = {number: one for number, one in fitting.items() if prepared.two[one]}
    fitting = with_two if len(with_two) >= OVERSUPPLY * wanted else fitting
    lost = prepared.faces.traits.unlike(np.array([person]), np.array(list(fitting.values())))
    if lost is not None:
        most = np.sort(lost[0])[wanted - 1]
        fitting = {number: one for (number, one), own in zip(fitting.items(), lost[0], strict=True) if own <= most}
    found = _found(matcher, prepared.first[person].embedding, wanted, fitting, gallery)
    return [(fitting[ranked.person], float(np.clip(ranked.similarity, -1.0, 1.0))) for ranked in found]


def _found(matcher: Matcher, probe: F32, wanted: int, fitting: Container[int], gallery: int) -> list[Ranked]:
    """Search for more until enough of those found fit."""
    k = wanted
    while True:
        k = min(gallery, 2 * k)
        found = [ranked for ranked in matcher.search(probe, k) if ranked.person in fitting]
        if len(found) >= wanted:
            return found[:wanted]
        if k == gallery:
            raise ValueError(f"The matcher returned too few of the {gallery} people who are enrolled.")


def _item(bench: Workbench, person: int, mated: bool, foils: Sequence[tuple[int, float]]) -> Item:
    prepared = bench.prepared
    on_list = list(foils)
    best = on_list[0][1] if on_list else float(prepared.impostor_similarity[person])
    own = float(prepared.mated_similarity[person])
    mate = None
    if mated:
        mate = sum(similarity >= own for _, similarity in on_list)
        on_list.insert(mate, (person, own))
    shown = (Shown(prepared.first[person]), *(Shown(prepared.second[one]) for one, _ in on_list))
    key = ListKey(mate, tuple(similarity for _, similarity in on_list))
    b = prepared.margin.b(own - best) if mated else prepared.different.b(best)
    return bench.item(shown, tuple(dict.fromkeys((person, *(one for one, _ in on_list)))), key, b)
