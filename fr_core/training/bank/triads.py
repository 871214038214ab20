"""Items of three photos: two of one person, and one of somebody who is easily mistaken for that person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fr_core.training.bank.equate import equated, spread
from fr_core.training.bank.impostors import Impostors, assigned
from fr_core.training.bank.learned import Judged
from fr_core.training.bank.pictures import Shown
from fr_core.training.bank.pool import PoolPhoto
from fr_core.training.bank.shares import FormSet, Workbench
from fr_core.training.courses import Item
from fr_core.training.keys import TriadKey

CHOICE = 10
"""Triads that are looked at for each that is wanted, where people suffice: the margin of a triad is known only then."""


@dataclass(frozen=True, slots=True)
class TriadDraft:
    """A triad that was chosen.

    Attributes:
        a: who is shown twice.
        odd: who is shown once.
        shown: the photo of the odd one.
        margin: see `TriadKey`.
        judged: its difficulty, and whether it is suspect; so is every one with two photos that are set aside.
    """

    a: int
    odd: int
    shown: PoolPhoto
    margin: float
    judged: Judged

    @property
    def people(self) -> tuple[int, ...]:
        """Each once."""
        return self.a, self.odd


def draft_triads(bench: Workbench, one: FormSet, kept: int) -> list[list[TriadDraft]]:
    """Choose the triads of a set, and take their people: for each item of a form, one for each form of the set.

    Args:
        bench: where those with two photos whom other exercises need are taken already.
        one: the set.
        kept: people with two photos who must stay free, for the triads of other sets.
    """
    count, forms = one.block.trials, len(one.forms)
    drafts = _drafts(bench, count * forms, kept, one)
    b = np.array([draft.judged.machine for draft in drafts], dtype=np.float64)
    chosen = spread(b, count, forms, bench.rng("triads", one.name))
    rows = [[drafts[number] for number in row] for row in chosen.tolist()]
    bench.take(person for row in rows for draft in row for person in draft.people)
    return rows


def triad_items(bench: Workbench, one: FormSet, rows: Sequence[Sequence[TriadDraft]]) -> dict[str, list[Item]]:
    """Make the forms of a set, equated, of what `draft_triads` chose."""
    drafts = [draft for row in rows for draft in row]
    b = np.array([draft.judged.b for draft in drafts], dtype=np.float64).reshape(-1, len(one.forms))
    rng = bench.rng("triad items", one.name)
    (dealt,) = equated([b], rng)
    return {
        name: [_item(bench, drafts[flat], rng) for flat in dealt[:, form].tolist()]
        for form, name in enumerate(one.forms)
    }


def _drafts(bench: Workbench, wanted: int, kept: int, one: FormSet) -> list[TriadDraft]:
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
    return [triad_draft(bench, pair, rng) for pair in assigned(roster.faces, twice, bench.others(most, among))]


def triad_draft(bench: Workbench, pair: Impostors, rng: np.random.Generator) -> TriadDraft:
    """A triad of two photos of `pair.a`, and one of `pair.b`, which is drawn."""
    roster = bench.roster
    shown = (roster.first, roster.second)[int(rng.integers(2))][pair.b]
    a, b = roster.first[pair.a].embedding, roster.second[pair.a].embedding
    margin = float(roster.mated_similarity[pair.a]) - max(_dot(a, shown), _dot(b, shown))
    key = TriadKey(odd=2, machine_odd=2, margin=margin)
    photos = tuple(map(Shown, (roster.first[pair.a], roster.second[pair.a], shown)))
    found = bench.judged(key, photos, roster.margin.b(margin))
    suspect = found.suspect or bool(bench.aside[pair.a])
    return TriadDraft(pair.a, pair.b, shown, margin, replace(found, suspect=suspect))


def _item(bench: Workbench, draft: TriadDraft, rng: np.random.Generator) -> Item:
    roster = bench.roster
    photos = [roster.first[draft.a], roster.second[draft.a]]
    odd = int(rng.integers(3))
    photos.insert(odd, draft.shown)
    # The odd one of the machine is left by the most similar pair; photo i is left by the two others.
    left_by = [_dot(photos[(i + 1) % 3].embedding, photos[(i + 2) % 3]) for i in range(3)]
    key = TriadKey(odd=odd, machine_odd=int(np.argmax(left_by)), margin=draft.margin)
    return bench.item(tuple(map(Shown, photos)), (draft.a, draft.odd), key, draft.judged.b)


def _dot(embedding: np.ndarray[tuple[int], np.dtype[np.float32]], photo: PoolPhoto) -> float:
    return float(np.clip(np.dot(embedding, photo.embedding), -1.0, 1.0))
