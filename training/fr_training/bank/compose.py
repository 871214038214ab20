"""Composes the forms of a course from a plan and a pool: nobody is in two items, and equated forms are equally hard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fr_locales.messages import message
from fr_training.bank.labels import Index
from fr_training.bank.labs import Spoil, lab_items
from fr_training.bank.lists import Matcher, Probes, draft_absent, draft_present, enrolled, list_items, others_of_lists
from fr_training.bank.manifest import Shown, course_sha256, manifest_of, own_probe_id, sha256_of
from fr_training.bank.needs import Available, available, needs, own_probe_size, require_enough
from fr_training.bank.pairs import Drafts, draft_different, draft_same, others_of_pairs, pair_items
from fr_training.bank.pool import Pool, with_order_as_condition, without_shared_photos
from fr_training.bank.prepared import Bools, prepare, subset
from fr_training.bank.replacements import Chosen, with_replacements
from fr_training.bank.triads import draft_triads, triad_items
from fr_training.bank.triage import original_items, triage_items
from fr_training.bank.workbench import FormSet, Workbench, form_sets, suspect_people, too_few_alike
from fr_training.courses import Form, Item, Learned
from fr_training.keys import PairKey, TriadKey
from fr_training.plan import PAIRS, CoursePlan
from fr_training.prompts import ExerciseKind


@dataclass(frozen=True, slots=True)
class Composed:
    """The forms of a course, before its pictures are made; photos of items are indices in `pictures`."""

    forms: Mapping[str, Form]
    pictures: tuple[Shown, ...]
    # Number of a person -> index of the picture, of everybody who is enrolled and may be shown as a candidate: where
    # the plan has own probes, the whole gallery that these may search, none of whom is in any form but those of lists;
    # else those on lists.
    gallery: Mapping[int, int]
    manifest_sha256: str  # over the manifests of all forms, 64 hexadecimal digits
    learned_items: int  # items of the forms whose difficulty answers to earlier courses have moved


def compose(
    plan: CoursePlan,
    pool: Pool,
    seed: int,
    matcher: Matcher,
    learned: Learned | None = None,
    spoil: Spoil | None = None,
) -> Composed:
    """Choose the people of every item.

    `matcher`, with nobody enrolled, serves lists and own probes alone, and `spoil` labs on quality, which need it.

    People with two photos come first: those of triads are kept, those of pairs of one person and of lists with the
    person are chosen. Then come pairs of two people, probes that are not enrolled, triads, photos to triage, and the
    gallery. The plan, the seed (at least 0), the photos of the pool and what was learned decide everything. Pairs and
    triads have the difficulties that earlier courses moved, and none is shown that these make suspect.

    Raises:
        TooFewPeople: the pool holds fewer people than `needs` counts, or too few without the suspect ones, or too few
            whose photos have conditions that do not give the answers away.
    """
    pool, ordered = with_order_as_condition(without_shared_photos(pool))
    learned = learned or Learned()
    there = available([person.photo_conditions for person in pool.people])
    require_enough(plan, there, ordered=ordered)
    prepared = prepare(pool)
    aside = suspect_people(learned, prepared)
    gone, alike = int(aside.sum()), int((aside & prepared.two_alike).sum())
    left = Available(there.people, there.with_two_photos - gone, there.with_two_alike - alike)
    require_enough(plan, left, gone)
    bench = Workbench(prepared, seed, np.ones(len(prepared.people), dtype=np.bool_), aside, learned)
    bench.for_triads = _kept_for_triads(bench, needs(plan).people_with_two_alike)
    sets = form_sets(plan)
    items, gallery = _items(bench, sets, own_probe_size(plan), matcher, spoil)
    forms = {name: _form(bench, name, one, items[name]) for one in sets for name in one.forms}
    moved = [item.item_id for form in forms.values() for item in form.items if isinstance(item.key, PairKey | TriadKey)]
    return Composed(
        forms=forms,
        pictures=tuple(bench.book.pictures),
        gallery=gallery,
        manifest_sha256=course_sha256(forms),
        learned_items=len(learned.difficulties.keys() & moved),
    )


def _kept_for_triads(bench: Workbench, count: int) -> Bools:
    """Draw `count` people with two photos of one condition, as bool[n]; those set aside or doubtful come last."""
    prepared, kept = bench.prepared, np.zeros(len(bench.free), dtype=np.bool_)
    drawn = bench.rng("triads").permutation(subset(prepared.two_alike))
    kept[drawn[np.argsort((bench.aside | prepared.doubtful)[drawn], kind="stable")][:count]] = True
    return kept


def _items(
    bench: Workbench, sets: Sequence[FormSet], own: int, matcher: Matcher, spoil: Spoil | None
) -> tuple[dict[str, list[Item]], Mapping[int, int]]:
    """The items of all forms by name, and the pictures of the gallery by person."""
    pairs = [one for one in sets if one.block.exercise in PAIRS]
    triads = [one for one in sets if one.block.exercise == ExerciseKind.TRIAD]
    lists = [one for one in sets if one.block.exercise == ExerciseKind.CANDIDATES]
    same, present = _mated(bench, pairs, lists)
    different = draft_different(bench, pairs, same)
    absent = draft_absent(bench, lists, present)
    items: dict[str, list[Item]] = {}
    kept = sum(one.block.trials * len(one.forms) for one in triads)
    odd = {}
    for one in triads:
        kept -= one.block.trials * len(one.forms)
        odd[one.key] = draft_triads(bench, one, kept)
    bench.for_triads[:] = bench.barred[:] = False
    for one in sets:
        if one.block.exercise == ExerciseKind.TRIAGE:
            items |= triage_items(bench, one)
        elif one.block.exercise == ExerciseKind.LAB:
            items |= lab_items(bench, one, spoil)
        elif one.block.exercise == ExerciseKind.EVIDENCE:
            items |= original_items(bench, one)
        elif one.block.exercise == ExerciseKind.OWN_PROBE:
            numbers = range(one.block.trials)
            items |= {name: [Item(own_probe_id(name, n), (), None, None, ()) for n in numbers] for name in one.forms}
    chosen = with_replacements(bench, Chosen(same, different, odd, present))
    for one in triads:
        items |= triad_items(bench, one, chosen.triads[one.key])
    for one in pairs:
        items |= pair_items(bench, one, chosen.same, chosen.different)
    if not lists and not own:
        return items, {}
    probes = [Probes(name, one.block.size, chosen.present[name], absent[name]) for one in lists for name in one.forms]
    gallery = enrolled(bench, probes, own)
    matcher.enrol(
        [(bench.prepared.people[person].number, bench.prepared.second[person]) for person in gallery.tolist()]
    )
    found = list_items(bench, probes, gallery, matcher)
    return items | found, _gallery(bench, gallery, found, own)


def _mated(bench: Workbench, pairs: Sequence[FormSet], lists: Sequence[FormSet]) -> tuple[Drafts, Mapping[str, Index]]:
    """The pairs of one person and the people on lists, only in conditions for which there are enough others."""
    prepared = bench.prepared
    barred = np.zeros(int(prepared.conditions.max()) + 1, dtype=np.bool_)
    while True:
        same, present = draft_same(bench, pairs), draft_present(bench, lists)
        if len(barred) == 1:
            return same, present
        free = np.bincount(prepared.conditions[bench.free & ~bench.for_triads], minlength=len(barred))
        missing = others_of_pairs(bench, pairs, same) + others_of_lists(bench, lists, present) - free
        if (missing <= 0).all():
            return same, present
        barred |= missing > 0
        bench.barred = np.asarray(barred[prepared.conditions], dtype=np.bool_)
        mated = [draft.a for rows in same.values() for row in rows for draft in row]
        mated += [person for people in present.values() for person in people.tolist()]
        bench.release(mated)
        if barred.all() or (bench.free & prepared.two & ~bench.for_triads & ~bench.barred).sum() < len(mated):
            raise too_few_alike(int(missing.max()), message("error.bank.the_pairs_and_lists"))


def _gallery(bench: Workbench, gallery: Index, lists: Mapping[str, Sequence[Item]], own: int) -> Mapping[int, int]:
    on_lists = {person for items in lists.values() for item in items for person in item.people}
    prepared = bench.prepared
    return {
        prepared.people[person].number: bench.book.numbers((Shown(prepared.second[person]),))[0]
        for person in gallery.tolist()
        if own or prepared.people[person].number in on_lists
    }


def _form(bench: Workbench, name: str, one: FormSet, items: Sequence[Item]) -> Form:
    """The items in an order that is drawn, so that it tells nothing."""
    order = bench.rng("order", name).permutation(len(items)).tolist()
    drawn = tuple(items[number] for number in order)
    model = bench.prepared.pool.model
    shown = [[bench.book.pictures[number] for number in item.photos] for item in drawn]
    manifest = manifest_of(name, one.block.exercise, model, bench.seed, drawn, shown)
    return Form(name, drawn, sha256_of(manifest))
