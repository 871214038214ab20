"""Makes items of three photos: two of one person, and one of another person who is easily mistaken for the first.

All three have one condition, such as an expression. If the two of one person were neutral and smiling, the third would
share its condition with one of them: the photo with the single condition would never be the odd one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fr_locales.messages import message
from fr_training.answers import AS_IT_IS, Poorer
from fr_training.bank.difficulty import equated, spread
from fr_training.bank.impostors import Impostors, assigned
from fr_training.bank.labels import Index
from fr_training.bank.manifest import Shown
from fr_training.bank.pool import PoolPhoto, cosine
from fr_training.bank.prepared import PreparedPool, subset
from fr_training.bank.workbench import OVERSUPPLY, FormSet, Judged, Workbench, too_few_alike
from fr_training.courses import Item
from fr_training.keys import TriadKey

CHOICE = 10
"""Triads that are looked at for each that is wanted, where people suffice: the margin of a triad is known only then."""


@dataclass(frozen=True, slots=True)
class TriadDraft:
    """A triad that was chosen: two photos of `a`, and `shown`, the photo of the odd one; `margin` as in `TriadKey`.

    It is suspect as well where the two photos of `a` are set aside.
    """

    a: int
    pair: tuple[PoolPhoto, PoolPhoto]
    odd: int
    shown: PoolPhoto
    margin: float
    judged: Judged
    poorer: Poorer = AS_IT_IS

    @property
    def people(self) -> tuple[int, ...]:
        """Each once."""
        return self.a, self.odd


def draft_triads(bench: Workbench, one: FormSet, kept: int) -> list[list[TriadDraft]]:
    """Choose the triads of a set, and take their people: for each item of a form, one for each form of the set.

    Those with two photos whom other exercises need are taken already. `kept` people with two photos of one condition
    stay free for the triads of other sets. Raises `TooFewPeople` if too few free people have a photo of the same
    condition.
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
    prepared, rng = bench.prepared, bench.rng("odd", one.name)
    among = bench.free & ~bench.listed if one.block.equated else bench.free.copy()
    alike = prepared.two_alike & among
    people = bench.with_two(wanted + kept, alike)
    free = int(among.sum())
    most = min(CHOICE * wanted, (len(people) - kept) // (1 + OVERSUPPLY))  # so that the odd people have two photos, too
    if most < wanted:
        most = max(wanted, min(CHOICE * wanted, len(people) - kept, free // 2 - kept))
    margins = prepared.margin.of(prepared.margins[people])
    twice = people[spread(margins, most, 1, rng)[:, 0]]
    among[twice] = False
    among[bench.with_two(kept, among & alike)[:kept]] = False
    others = bench.others(most, among)
    drafts = [triad_draft(bench, pair, rng, one.block.poorer) for pair in odd_ones(bench, twice, others)]
    if len(drafts) < wanted:
        raise too_few_alike(wanted - len(drafts), message("error.bank.the_triads"))
    return drafts


def odd_ones(bench: Workbench, twice: Index, others: Index) -> Iterator[Impostors]:
    """Find impostors among i64[o] for i64[p] people, with a photo of the same condition, as long as there are any."""
    prepared = bench.prepared
    free = np.zeros(len(prepared.people), dtype=np.bool_)
    free[others] = True
    conditions = [_pair_of(prepared, person)[0].condition for person in twice.tolist()]
    for condition in sorted(set(conditions)):
        rows = twice[[one == condition for one in conditions]]
        fitting = [person for person in subset(free).tolist() if _shown_so(prepared, person, condition)]
        columns = np.array(fitting, dtype=np.int64)
        found = assigned(prepared.faces, rows[: len(columns)], columns)
        free[[pair.b for pair in found]] = False
        yield from found


def _pair_of(prepared: PreparedPool, person: int) -> tuple[PoolPhoto, PoolPhoto]:
    pair = prepared.alike[person]
    if pair is None:
        raise ValueError("The person does not have two photos of one condition.")
    return pair


def _shown_so(prepared: PreparedPool, person: int, condition: str) -> list[PoolPhoto]:
    """Those of a person's first and second photo that have a condition."""
    return [photo for photo in (prepared.first[person], prepared.second[person]) if photo.condition == condition]


def triad_draft(bench: Workbench, pair: Impostors, rng: np.random.Generator, poorer: Poorer) -> TriadDraft:
    """Draw a triad: two photos of `pair.a`, and one of `pair.b` of the same condition."""
    prepared = bench.prepared
    one, other = _pair_of(prepared, pair.a)
    fitting = _shown_so(prepared, pair.b, one.condition)
    shown = fitting[int(rng.integers(len(fitting)))]
    margin = cosine(one.embedding, other.embedding) - max(
        cosine(one.embedding, shown.embedding), cosine(other.embedding, shown.embedding)
    )
    key = TriadKey(odd=2, machine_odd=2, margin=margin)
    found = bench.judged(
        key, tuple(Shown(photo, poorer=poorer) for photo in (one, other, shown)), prepared.margin.b(margin)
    )
    suspect = found.suspect or bool(bench.aside[pair.a])
    return TriadDraft(pair.a, (one, other), pair.b, shown, margin, replace(found, suspect=suspect), poorer)


def _item(bench: Workbench, draft: TriadDraft, rng: np.random.Generator) -> Item:
    photos = list(draft.pair)
    odd = int(rng.integers(3))
    photos.insert(odd, draft.shown)
    # The odd one of the machine is left by the most similar pair; photo i is left by the two others.
    left_by = [cosine(photos[(i + 1) % 3].embedding, photos[(i + 2) % 3].embedding) for i in range(3)]
    key = TriadKey(odd=odd, machine_odd=int(np.argmax(left_by)), margin=draft.margin)
    return bench.item(
        tuple(Shown(photo, poorer=draft.poorer) for photo in photos), (draft.a, draft.odd), key, draft.judged.b
    )
