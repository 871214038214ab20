"""Items of three photos: two of one person, and one of somebody who is easily mistaken for that person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fr_core.training.bank.equate import equated, spread
from fr_core.training.bank.impostors import Impostors, assigned
from fr_core.training.bank.pictures import Shown
from fr_core.training.bank.pool import PoolPhoto
from fr_core.training.bank.shares import FormSet, Workbench
from fr_core.training.courses import Item
from fr_core.training.keys import TriadKey

CHOICE = 10
"""Triads that are looked at for each that is wanted, where people suffice: the margin of a triad is known only then."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A triad: person `a` twice, `odd` once, with the photo `shown`."""

    a: int
    odd: int
    shown: PoolPhoto
    margin: float
    difficulty: float


def triad_items(bench: Workbench, one: FormSet, kept: int) -> dict[str, list[Item]]:
    """Make the forms of a set, equated, and take their people.

    Args:
        bench: where those with two photos whom other exercises need are taken already.
        one: the set.
        kept: people with two photos who must stay free, for the triads of other sets.
    """
    count, forms = one.block.trials, len(one.forms)
    drafts = _drafts(bench, count * forms, kept, one)
    b = np.array([draft.difficulty for draft in drafts], dtype=np.float64)
    rng = bench.rng("triads", one.name)
    chosen = spread(b, count, forms, rng)
    (dealt,) = equated([b[chosen]], rng)
    items: dict[str, list[Item]] = {}
    for form, name in enumerate(one.forms):
        mine = [drafts[number] for number in chosen.ravel()[dealt[:, form]].tolist()]
        bench.take(person for draft in mine for person in (draft.a, draft.odd))
        items[name] = [_item(bench, draft, rng) for draft in mine]
    return items


def _drafts(bench: Workbench, wanted: int, kept: int, one: FormSet) -> list[_Draft]:
    """More triads than are wanted where people suffice, so that there is a choice once their margins are known."""
    roster, rng = bench.roster, bench.rng("odd", one.name)
    people = bench.with_two(wanted + kept)
    free = int(bench.free.sum())
    most = max(wanted, min(CHOICE * wanted, len(people) - kept, free // 2 - kept))
    margins = roster.margin.of(roster.margins[people])
    twice = people[spread(margins, most, 1, rng)[:, 0]]
    among = bench.free.copy()
    among[twice] = False
    among[bench.with_two(kept, among)[:kept]] = False
    return [_draft(bench, pair, rng) for pair in assigned(roster.faces, twice, bench.others(most, among))]


def _draft(bench: Workbench, pair: Impostors, rng: np.random.Generator) -> _Draft:
    roster = bench.roster
    shown = (roster.first, roster.second)[int(rng.integers(2))][pair.b]
    a, b = roster.first[pair.a].embedding, roster.second[pair.a].embedding
    margin = float(roster.mated_similarity[pair.a]) - max(_dot(a, shown), _dot(b, shown))
    return _Draft(pair.a, pair.b, shown, margin, roster.margin.b(margin))


def _item(bench: Workbench, draft: _Draft, rng: np.random.Generator) -> Item:
    roster = bench.roster
    photos = [roster.first[draft.a], roster.second[draft.a]]
    odd = int(rng.integers(3))
    photos.insert(odd, draft.shown)
    # The odd one of the machine is left by the most similar pair; photo i is left by the two others.
    left_by = [_dot(photos[(i + 1) % 3].embedding, photos[(i + 2) % 3]) for i in range(3)]
    key = TriadKey(odd=odd, machine_odd=int(np.argmax(left_by)), margin=draft.margin)
    return bench.item(tuple(map(Shown, photos)), (draft.a, draft.odd), key, draft.difficulty)


def _dot(embedding: np.ndarray[tuple[int], np.dtype[np.float32]], photo: PoolPhoto) -> float:
    return float(np.clip(np.dot(embedding, photo.embedding), -1.0, 1.0))
