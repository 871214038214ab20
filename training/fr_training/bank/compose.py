"""Composes the forms of a course from a plan and a pool.

Nobody is in two items, except as a foil of lists, and equated forms are equally hard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from fr_locales.messages import message
from fr_training.answers import AS_IT_IS
from fr_training.bank.foils import Kept, LacksFoilsError
from fr_training.bank.forecast import Reference
from fr_training.bank.labels import Index
from fr_training.bank.labs import Spoil, lab_items, lesson_items
from fr_training.bank.lists import Lists, Matcher, draft_lists, draft_present, enrolled, list_items, others_of_lists
from fr_training.bank.manifest import Shown, course_sha256, manifest_of, own_probe_id, sha256_of
from fr_training.bank.needs import Available, available, needs, own_probe_size, require_enough
from fr_training.bank.pairs import Drafts, draft_different, draft_same, others_of_pairs, pair_items
from fr_training.bank.pool import Pool, parted, with_order_as_condition, with_surroundings, without_shared_photos
from fr_training.bank.prepared import Bools, prepare, subset
from fr_training.bank.replacements import Chosen, with_others_present, with_replacements
from fr_training.bank.triads import TriadDraft, draft_triads, triad_items
from fr_training.bank.triage import original_items, triage_items
from fr_training.bank.workbench import FormSet, Seen, Workbench, form_sets, suspect_people, too_few_alike
from fr_training.courses import Form, Item, Learned
from fr_training.errors import TooFewPeople
from fr_training.keys import ListKey, PairKey, TriadKey
from fr_training.plan import PAIRS, CoursePlan
from fr_training.prompts import ExerciseKind


@dataclass(frozen=True, slots=True)
class Composed:
    """The forms of a course, before its pictures are made; photos of items are indices in `pictures`."""

    forms: Mapping[str, Form]
    pictures: tuple[Shown, ...]
    # Number of a person -> index of the picture, of everybody whom own probes may find: none of them is in any form but
    # those of lists. Empty where the plan has no own probes.
    gallery: Mapping[int, int]
    manifest_sha256: str  # over the manifests of all forms, 64 hexadecimal digits
    near: Reference  # of the people without tracks, where there are any
    learned_items: int  # items of the forms whose difficulty answers to earlier courses have moved


def compose(
    plan: CoursePlan,
    pool: Pool,
    seed: int,
    matcher: Matcher,
    learned: Learned | None = None,
    spoil: Spoil | None = None,
    seen: Seen | None = None,
) -> Composed:
    """Choose the people of every item.

    `matcher`, with nobody enrolled, is for own probes, `spoil` for labs on quality, and `seen` for forms of poorer
    photos that are to be equally hard.

    People with two photos come first: those of triads are kept, those of lists with the person and of pairs of one
    person are chosen. Then come the candidates of lists, pairs of two people, triads, photos to triage, and the
    gallery. The plan, the seed (at least 0), the photos of the pool and what was learned decide everything. Pairs and
    triads have the difficulties that earlier courses moved, and none is shown that these make suspect. Blocks of
    footage show people with tracks, and all other blocks show the others.

    Raises:
        TooFewPeople: the pool holds fewer people than `needs` counts, or too few without the suspect ones, or too few
            whose photos have conditions that do not give the answers away.
    """
    pool = without_shared_photos(with_surroundings(pool) if plan.mask == "none" else pool)
    photos, footage = parted(pool)
    photos, ordered = with_order_as_condition(photos)
    there = available([person.taken for person in (*photos.people, *footage.people)])
    require_enough(plan, there, ordered=ordered)
    parts = [(plan.only(footage=False), photos), (plan.only(footage=True), footage)]
    if not photos.people:
        parts = [(plan, footage)]
    found: list[Composed] = []
    for own, people in parts:
        if own.blocks:
            before = found[-1].pictures if found else ()
            found.append(_part(own, people, seed, matcher, learned or Learned(), spoil, seen, before))
    forms = {name: form for one in found for name, form in one.forms.items()}
    return replace(
        found[0],
        forms=forms,
        pictures=found[-1].pictures,
        manifest_sha256=course_sha256(forms),
        learned_items=sum(one.learned_items for one in found),
    )


def _part(
    plan: CoursePlan,
    pool: Pool,
    seed: int,
    matcher: Matcher,
    learned: Learned,
    spoil: Spoil | None,
    seen: Seen | None,
    before: Sequence[Shown],
) -> Composed:
    """Compose the forms of a part of a plan from people who are in no other part, after the pictures of that one."""
    there = available([person.taken for person in pool.people])
    prepared = prepare(pool)
    looks = frozenset({AS_IT_IS}).union(block.poorer for block in plan.blocks)
    aside = suspect_people(learned, prepared, looks)
    gone, alike = int(aside.sum()), int((aside & prepared.two_alike).sum())
    if there.with_tracks:
        left = replace(there, with_tracks=there.with_tracks - gone)
    else:
        left = Available(there.people, there.with_two_photos - gone, there.with_two_alike - alike)
    require_enough(plan, left, gone)
    unsearched = np.zeros(len(prepared.people), dtype=np.bool_)
    sets = form_sets(plan)
    lacking: LacksFoilsError | None = None
    while True:
        bench = Workbench(prepared, seed, np.ones(len(prepared.people), dtype=np.bool_), aside, learned, looks, seen)
        bench.for_triads = _kept_for_triads(bench, needs(plan).people_with_two_alike)
        bench.unsearched = unsearched
        bench.book.numbers(before)
        try:
            items, drafts = _items(bench, sets)
        except LacksFoilsError as error:  # somebody else may have enough of them
            lacking = error
            unsearched[error.person] = True
            continue
        except TooFewPeople as error:
            if lacking is None:
                raise
            what = message("error.bank.people_of_one_sex", count=lacking.missing)
            raise TooFewPeople(what, missing=str(lacking.missing)) from error
        suspect = _searched_in_suspects(bench, items)
        if not suspect:
            break
        unsearched[suspect] = True
    spoilt = None if spoil is None else cache(spoil)  # takes long, and all blocks have the same photos
    for one in sets:
        if one.block.exercise == ExerciseKind.LAB:  # shows nobody: made once
            asked = frozenset(item.item_id for of_form in items.values() for item in of_form)
            items |= lab_items(bench, one, spoilt, asked)
    searched = {name: drafts[name] for one in sets if not one.block.equated for name in one.forms if name in drafts}
    gallery = _enrolled(bench, searched, own_probe_size(plan), matcher)
    forms = {name: _form(bench, name, one, items[name]) for one in sets for name in one.forms}
    moved = [item.item_id for form in forms.values() for item in form.items if isinstance(item.key, PairKey | TriadKey)]
    return Composed(
        forms=forms,
        pictures=tuple(bench.book.pictures),
        gallery=gallery,
        manifest_sha256=course_sha256(forms),
        near=Reference(prepared.strangers, prepared.look_alikes),
        learned_items=len(learned.difficulties.keys() & moved),
    )


def _kept_for_triads(bench: Workbench, count: int) -> Bools:
    """Draw `count` people with two photos of one condition, as bool[n]; those set aside or doubtful come last."""
    prepared, kept = bench.prepared, np.zeros(len(bench.free), dtype=np.bool_)
    drawn = bench.rng("triads").permutation(subset(prepared.two_alike))
    kept[drawn[np.argsort((bench.aside | prepared.doubtful)[drawn], kind="stable")][:count]] = True
    return kept


def _searched_in_suspects(bench: Workbench, items: Mapping[str, Sequence[Item]]) -> list[int]:
    """The people who are searched for in lists that are set aside, by index in the prepared pool."""
    numbers = {person.number: index for index, person in enumerate(bench.prepared.people)}
    lists = (item for of_form in items.values() for item in of_form if isinstance(item.key, ListKey))
    return [numbers[item.people[0]] for item in lists if item.item_id in bench.learned.suspects]


def _items(bench: Workbench, sets: Sequence[FormSet]) -> tuple[dict[str, list[Item]], Lists]:
    """The items of all forms but labs by name, and the lists among them."""
    pairs = [one for one in sets if one.block.exercise in PAIRS]
    triads = [one for one in sets if one.block.exercise == ExerciseKind.TRIAD]
    lists = [one for one in sets if one.block.exercise == ExerciseKind.CANDIDATES]
    same, drafts = _lists_and_mated(bench, pairs, triads, lists)
    odd: dict[str, list[list[TriadDraft]]] = {}

    def draft(some: Sequence[FormSet]) -> Drafts:
        found = draft_different(bench, [one for one in some if one.block.exercise in PAIRS], same)
        for one in (one for one in some if one.block.exercise == ExerciseKind.TRIAD):
            later = sum(two.block.trials * len(two.forms) for two in triads if two.key not in {*odd, one.key})
            odd[one.key] = draft_triads(bench, one, later)
            bench.for_triads[:] = False
            bench.for_triads[bench.with_two(later, bench.free & bench.prepared.two_alike)[:later]] = True
        return found

    different = _tests_first(bench, [*pairs, *triads], draft)
    items: dict[str, list[Item]] = {}
    bench.for_triads[:] = bench.barred[:] = False
    for one in sets:
        if one.block.exercise == ExerciseKind.TRIAGE:
            items |= triage_items(bench, one)
        elif one.block.exercise == ExerciseKind.EVIDENCE:
            items |= original_items(bench, one)
        elif one.block.exercise == ExerciseKind.LESSON:
            items |= {name: lesson_items(one.block.lesson) for name in one.forms}
        elif one.block.exercise == ExerciseKind.OWN_PROBE:
            numbers = range(one.block.trials)
            items |= {name: [Item(own_probe_id(name, n), (), None, None, ()) for n in numbers] for name in one.forms}
    chosen = with_replacements(bench, Chosen(same, different, odd))
    for one in triads:
        items |= triad_items(bench, one, chosen.triads[one.key])
    for one in pairs:
        items |= pair_items(bench, one, chosen.same, chosen.different)
    return items | list_items(bench, drafts), drafts


def _tests_first(bench: Workbench, sets: Sequence[FormSet], draft: Callable[[Sequence[FormSet]], Drafts]) -> Drafts:
    """Draft pairs and triads: first those of equated tests, which show no foil of a list, then the others."""
    barred = bench.barred
    bench.barred = np.asarray(barred | bench.listed, dtype=np.bool_)
    found = draft([one for one in sets if one.block.equated])
    bench.barred = barred
    return {**found, **draft([one for one in sets if not one.block.equated])}


def _lists_and_mated(
    bench: Workbench, pairs: Sequence[FormSet], triads: Sequence[FormSet], lists: Sequence[FormSet]
) -> tuple[Drafts, Lists]:
    """The pairs of one person, and all lists.

    Lists choose first if all photos have one condition. Otherwise the conditions of pairs decide who may be a foil.
    """
    tests = [one for one in pairs if one.block.equated]
    odd = sum(one.block.trials * len(one.forms) for one in triads if one.block.equated)
    unmated = sum(2 * one.block.different * len(one.forms) for one in tests)
    if int(bench.prepared.conditions.max()) == 0:
        present = with_others_present(bench, draft_present(bench, lists, unmated + odd))
        others = np.array([unmated], dtype=np.int64)
        with_two = [sum(one.block.same * len(one.forms) for one in some) for some in (tests, pairs)]
        kept = Kept(others, odd, with_two[0], with_two[1] - with_two[0])
        drafts = draft_lists(bench, lists, present, (), kept, unmated + odd)
        return _tests_first(bench, pairs, lambda some: draft_same(bench, some)), drafts
    same, present = _mated(bench, pairs, lists, unmated + odd)
    present = with_others_present(bench, present)
    elsewhere = [draft.a for one in pairs if not one.block.equated for row in same[one.key] for draft in row]
    kept = Kept(others_of_pairs(bench, tests, same), odd, 0, 0)
    return same, draft_lists(bench, lists, present, elsewhere, kept, unmated + odd)


def _mated(
    bench: Workbench, pairs: Sequence[FormSet], lists: Sequence[FormSet], of_tests: int
) -> tuple[Drafts, Mapping[str, Index]]:
    """The pairs of one person and the people on lists, only in conditions for which there are enough others."""
    prepared = bench.prepared
    barred = np.zeros(int(prepared.conditions.max()) + 1, dtype=np.bool_)
    while True:
        present = draft_present(bench, lists, of_tests)
        same = draft_same(bench, pairs)
        free = np.bincount(prepared.conditions[bench.free & ~bench.for_triads], minlength=len(barred))
        tests, others = ([one for one in pairs if bool(one.block.equated) == is_test] for is_test in (True, False))
        probes, foils = others_of_lists(bench, lists, present)
        missing = others_of_pairs(bench, tests, same) + probes - free
        missing += np.maximum(others_of_pairs(bench, others, same), foils)
        if (missing <= 0).all():
            return same, present
        barred |= missing > 0
        bench.barred = np.asarray(barred[prepared.conditions], dtype=np.bool_)
        mated = [draft.a for rows in same.values() for row in rows for draft in row]
        mated += [person for people in present.values() for person in people.tolist()]
        bench.release(mated)
        if barred.all() or (bench.free & prepared.two & ~bench.for_triads & ~bench.barred).sum() < len(mated):
            raise too_few_alike(int(missing.max()), message("error.bank.the_pairs_and_lists"))


def _enrolled(bench: Workbench, lists: Lists, own: int, matcher: Matcher) -> Mapping[int, int]:
    """Enrol the people whom own probes search, if there are own probes; their pictures, by person."""
    if not own:
        return {}
    prepared = bench.prepared
    gallery = [(prepared.people[one].number, prepared.listed[one]) for one in enrolled(bench, lists, own).tolist()]
    matcher.enrol(gallery)
    return {number: bench.book.numbers((Shown(photo),))[0] for number, photo in gallery}


def _form(bench: Workbench, name: str, one: FormSet, items: Sequence[Item]) -> Form:
    """The items in an order that is drawn, so that it tells nothing; a lesson keeps its own."""
    order = bench.rng("order", name).permutation(len(items)).tolist()
    drawn = tuple(items if one.block.exercise == ExerciseKind.LESSON else (items[number] for number in order))
    model = bench.prepared.pool.model
    shown = [[bench.book.pictures[number] for number in item.photos] for item in drawn]
    manifest = manifest_of(name, one.block.exercise, model, bench.seed, drawn, shown)
    return Form(name, drawn, sha256_of(manifest))
