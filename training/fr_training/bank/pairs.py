"""Makes items of two photos: of one person, or of two people who are hard to tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fr_core.scoring.checks import F64
from fr_locales.messages import message
from fr_training.answers import AS_IT_IS, Poorer
from fr_training.bank.clues import CLUES, NEAR_CHANCE, between, clues_of, least_of, least_telling, told
from fr_training.bank.difficulty import equated, spread, swapped
from fr_training.bank.impostors import paired
from fr_training.bank.labels import Index
from fr_training.bank.manifest import Shown
from fr_training.bank.prepared import Bools, PreparedPool, subset
from fr_training.bank.workbench import OF_TESTS, OVERSUPPLY, FormSet, Judged, Workbench, quota, suspect_pair
from fr_training.courses import Item
from fr_training.keys import PairKey
from fr_training.prompts import ExerciseKind


@dataclass(frozen=True, slots=True)
class PairDraft:
    """A pair that was chosen, of one person where `a` is `b`: the first photo of `a` and the second of `b`.

    `similarity` is of the photos, in [-1, 1].
    """

    a: int
    b: int
    similarity: float
    judged: Judged
    poorer: Poorer = AS_IT_IS

    @property
    def people(self) -> tuple[int, ...]:
        """Each once."""
        return (self.a,) if self.a == self.b else (self.a, self.b)


_SPARE = 2  # pairs of two people that are looked at for each that is wanted, at least, where clues are left out
_FEW = 20  # pairs of two people that are looked at for a small block, whose clues are a matter of luck, at least

Drafts = Mapping[str, list[list[PairDraft]]]
"""By key of a form set: for each item of a form, one draft for each form of the set."""


def draft_same(bench: Workbench, sets: Sequence[FormSet]) -> Drafts:
    """Set people with two photos aside for the pairs of one person of all sets."""
    prepared = bench.prepared
    found: dict[str, list[list[PairDraft]]] = {}
    for one in sets:
        count, forms = one.block.same, len(one.forms)
        people = bench.with_two(count * forms)
        least = least_telling(
            prepared.mated_clues[people], prepared.impostor_clues, OVERSUPPLY * count * forms, of_mated=True
        )
        people = people[least]
        similarity = prepared.mated_similarity[people]
        b = prepared.same.of(similarity)
        wrong = wrong_advice(bench, one)[0]
        errs = _errs(prepared, similarity, mated=True)
        clues, rng = prepared.mated_clues[people], bench.rng("same", one.name)
        draw = partial(_chosen, b, errs, one, count, wrong, rng)
        if prepared.faces.traits.known:  # else sexes, ages and origins would be those that tell least
            chosen = people[draw()]
        else:
            chosen = people[least_of(draw, partial(_told_beside, clues, prepared.impostor_clues))]
        found[one.key] = [
            [pair_draft(bench, person, person, one.block.poorer) for person in row] for row in chosen.tolist()
        ]
        bench.take(draft.a for row in found[one.key] for draft in row)
    return found


def draft_different(bench: Workbench, sets: Sequence[FormSet], same: Drafts) -> Drafts:
    """Find the pairs of two people of all sets among those who are free, when other needs for two photos are met.

    Each pair of conditions has the same share as among `same`, the pairs of one person of the same sets, and so does
    each data set, as far as its people go. Otherwise the look of a photo would give the answer away. Raises
    `TooFewPeople` if too few free people have photos in those conditions.
    """
    prepared = bench.prepared
    tests = all(one.block.equated for one in sets)
    oversupply = OF_TESTS if tests else OVERSUPPLY
    # Tests have the hardest pairs. Where labels are known, less similar people are also less alike in age and origin.
    choice = 1 if tests or prepared.faces.traits.known else _SPARE
    people = bench.others(2 * sum(one.block.different * len(one.forms) for one in sets), oversupply=oversupply)
    quotas = {
        one.key: quota(one.block.different, [draft.a for row in same[one.key] for draft in row], people, prepared.group)
        for one in sets
    }
    found: dict[str, list[list[PairDraft]]] = {one.key: [] for one in sets}
    for number in np.unique(prepared.group):
        own = people[prepared.group[people] == number]
        counts = {key: int(by_group[number]) for key, by_group in quotas.items()}
        wanted = sum(counts[one.key] * len(one.forms) for one in sets)
        left = _paired(bench, own, min(wanted, len(own) // 2), choice)
        for one in sets:
            count = min(counts[one.key], len(left) // len(one.forms))
            left = _deal(bench, one, count, left, found[one.key], same)
    for number in np.unique(prepared.conditions):
        groups = np.unique(prepared.group[prepared.conditions == number])
        counts = {
            one.key: int(quotas[one.key][groups].sum())
            - sum(int(prepared.conditions[row[0].a]) == number for row in found[one.key])
            for one in sets
        }
        wanted = sum(counts[one.key] * len(one.forms) for one in sets)
        left = _paired(bench, bench.others_so_shown(int(number), 2 * wanted, message("error.bank.the_pairs")), wanted)
        for one in sets:
            left = _deal(bench, one, counts[one.key], left, found[one.key], same)
    return found


def others_of_pairs(bench: Workbench, sets: Sequence[FormSet], same: Drafts) -> Index:
    """Count the people whom pairs of two show, by pair of conditions as numbered in `PreparedPool`, i64[c]."""
    conditions = bench.prepared.conditions
    found = np.zeros(int(conditions.max()) + 1, dtype=np.int64)
    for one in sets:
        mated = [draft.a for row in same[one.key] for draft in row]
        found += 2 * len(one.forms) * quota(one.block.different, mated, subset(bench.free & ~bench.barred), conditions)
    return found


def _paired(bench: Workbench, people: Index, count: int, choice: int = 1) -> list[PairDraft]:
    if not count:
        return []
    found = paired(bench.prepared.faces, people, count, bench.prepared.near, choice)
    return [pair_draft(bench, pair.a, pair.b) for pair in found]


def _deal(
    bench: Workbench, one: FormSet, count: int, left: list[PairDraft], rows: list[list[PairDraft]], same: Drafts
) -> list[PairDraft]:
    """Add `count` tuples of pairs to the rows of a set, take their people, and return the pairs that are left.

    Of several draws it is the first in which clues tell little, or that in which they tell least.
    """
    if not count:
        return left
    mated = _clues(bench, same[one.key])
    clues = _clues(bench, [left])
    fitting = least_telling(mated, clues, max(_FEW, _SPARE * count * len(one.forms)), of_mated=False)
    some = [left[number] for number in fitting.tolist()]
    b = np.array([draft.judged.machine for draft in some], dtype=np.float64)
    wrong = max(0, wrong_advice(bench, one)[1] - len(rows))
    errs = _errs(bench.prepared, _similarities(some), mated=False)
    rng = bench.rng("different", one.name, str(len(rows)))
    chosen = least_of(
        lambda: _chosen(b, errs, one, count, wrong, rng), lambda found: told(mated, clues[fitting[found.ravel()]])
    )
    table = [[_shown_in(bench, one, some[number]) for number in row] for row in chosen.tolist()]
    bench.take(person for row in table for draft in row for person in draft.people)
    rows += table
    gone = {person for row in table for draft in row for person in draft.people}
    return [draft for draft in left if gone.isdisjoint(draft.people)]


def _told_beside(mated: F64, nonmated: F64, chosen: Index) -> float:
    """As `told`, of some of the pairs of one person."""
    return told(mated[chosen.ravel()], nonmated)


def _shown_in(bench: Workbench, one: FormSet, draft: PairDraft) -> PairDraft:
    """The pair with the photos as the block shows them."""
    return pair_draft(bench, draft.a, draft.b, one.block.poorer) if one.block.poorer.told else draft


def _clues(bench: Workbench, rows: Sequence[Sequence[PairDraft]]) -> F64:
    """f64[n, CLUES] of the pairs of all rows."""
    prepared = bench.prepared
    return clues_of([(prepared.first[draft.a], prepared.second[draft.b]) for row in rows for draft in row])


def _shown_clues(bench: Workbench, one: FormSet, rows: Sequence[Sequence[PairDraft]]) -> F64:
    """As `_clues`; if a block with several forms makes its photos poorer, of the poorer photos."""
    if bench.seen is None or len(one.forms) < 2 or not one.block.poorer.told:
        return _clues(bench, rows)
    looks = bench.seen([photo for row in rows for draft in row for photo in _shown(bench, draft)])
    clues = [between(*pair) for pair in zip(looks[::2], looks[1::2], strict=True)]
    return np.array(clues, dtype=np.float64).reshape(-1, CLUES)


def _shown(bench: Workbench, draft: PairDraft) -> tuple[Shown, Shown]:
    """The two photos of a pair, as its block shows them."""
    first, second = bench.prepared.first[draft.a], bench.prepared.second[draft.b]
    return Shown(first, poorer=draft.poorer), Shown(second, poorer=draft.poorer)


def pair_items(bench: Workbench, one: FormSet, same: Drafts, different: Drafts) -> dict[str, list[Item]]:
    """The items of the forms of a set, equated; in an aided exercise with the machine's advice."""
    tables = (same[one.key], different[one.key])
    forms = len(one.forms)
    values = [
        np.array([[draft.judged.b for draft in row] for row in table], dtype=np.float64).reshape(-1, forms)
        for table in tables
    ]
    rng = bench.rng("equate", one.name)
    clues = [_shown_clues(bench, one, table) for table in tables]
    dealt = swapped(
        values,
        equated(values, rng),
        lambda found: max(told(*(clues[truth][found[truth][:, form]] for truth in (0, 1))) for form in range(forms)),
        NEAR_CHANCE,
        rng,
    )
    items: dict[str, list[Item]] = {}
    for form, name in enumerate(one.forms):
        drafts = [
            [table[flat // forms][flat % forms] for flat in of_class[:, form].tolist()]
            for table, of_class in zip(tables, dealt, strict=True)
        ]
        items[name] = _with_keys(bench, one, drafts)
    return items


def wrong_advice(bench: Workbench, one: FormSet) -> tuple[int, int]:
    """Count the pairs of one person, and of two, that get wrong advice: as equally as can be."""
    block = one.block
    half, odd = divmod(block.wrong, 2)
    same = half + (odd if bench.rng("wrong", one.name).random() < 0.5 else 0)
    same = min(max(same, block.wrong - block.different), block.same)
    return same, block.wrong - same


def _chosen(b: F64, errs: Bools, one: FormSet, count: int, wrong: int, rng: np.random.Generator) -> Index:
    """i64[count, forms]: where advice is to be wrong, first pairs on which the machine errs itself, then the spread."""
    forms = len(one.forms)
    first = rng.permutation(np.flatnonzero(errs))[: min(wrong, count)] if wrong else np.empty(0, dtype=np.int64)
    rest = np.setdiff1d(np.arange(len(b), dtype=np.int64), first)
    rows = [np.repeat(first[:, None], forms, axis=1)] if len(first) else []
    return np.concatenate([*rows, rest[spread(b[rest], count - len(first), forms, rng)]])


def _similarities(drafts: Sequence[PairDraft]) -> F64:
    return np.array([draft.similarity for draft in drafts], dtype=np.float64)


def _errs(prepared: PreparedPool, similarities: F64, *, mated: bool) -> Bools:
    """bool[n]: on which pairs, all of one truth, the machine errs; on none where it has no calibration."""
    calibration = prepared.pool.calibration
    if calibration is None:
        return np.zeros(len(similarities), dtype=np.bool_)
    return np.array([(calibration.log10_lr(float(s)).log10_lr > 0.0) != mated for s in similarities], dtype=np.bool_)


def pair_draft(bench: Workbench, a: int, b: int, poorer: Poorer = AS_IT_IS) -> PairDraft:
    """A pair of the first photo of `a` and the second of `b`; of one person where both are the same."""
    prepared = bench.prepared
    mated = a == b
    similarity = float(prepared.mated_similarity[a]) if mated else prepared.faces.similarity(a, b)
    key = PairKey(mated=mated, similarity=similarity)
    machine = (prepared.same if mated else prepared.different).b(similarity)
    shown = (Shown(prepared.first[a], poorer=poorer), Shown(prepared.second[b], poorer=poorer))
    found = bench.judged(key, shown, machine)
    aside = bool(bench.aside[a]) if mated else suspect_pair(bench.learned, prepared, a, b, bench.looks)
    found = replace(found, suspect=found.suspect or aside)
    return PairDraft(a, b, similarity, found, poorer)


def _with_keys(bench: Workbench, one: FormSet, drafts: Sequence[Sequence[PairDraft]]) -> list[Item]:
    items = []
    for of_class, mated, wrong in zip(drafts, (True, False), wrong_advice(bench, one), strict=True):
        misled = _misled(bench, one, of_class, wrong, mated=mated)
        for number, draft in enumerate(of_class):
            advice = (mated != (number in misled)) if one.block.exercise == ExerciseKind.AIDED else None
            items.append(_item(bench, draft, mated, advice))
    return items


def _misled(bench: Workbench, one: FormSet, drafts: Sequence[PairDraft], wrong: int, *, mated: bool) -> frozenset[int]:
    """The pairs that get wrong advice: those on which the machine errs first."""
    errs = _errs(bench.prepared, _similarities(drafts), mated=mated)
    order = bench.rng("misled", one.name, str(mated)).permutation(len(drafts))
    return frozenset(order[np.argsort(~errs[order], kind="stable")][:wrong].tolist())


def _item(bench: Workbench, draft: PairDraft, mated: bool, advice: bool | None) -> Item:
    calibration = bench.prepared.pool.calibration
    key = PairKey(
        mated=mated,
        similarity=draft.similarity,
        log10_lr=None if calibration is None else calibration.log10_lr(draft.similarity).log10_lr,
        advice_same=advice,
    )
    return bench.item(_shown(bench, draft), draft.people, key, draft.judged.b)
