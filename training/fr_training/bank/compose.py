"""From a plan and a pool to the forms of a course: nobody is shown in two items, and equated forms are equally hard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fr_training.bank.learned import moved_items, suspect_people
from fr_training.bank.likeness import Index
from fr_training.bank.lists import Probes, draft_absent, draft_present, enrolled, list_items, others_of_lists
from fr_training.bank.manifest import course_sha256, form_sha256, manifest_of, own_probe_id
from fr_training.bank.matcher import Matcher
from fr_training.bank.mending import Chosen, mended
from fr_training.bank.needs import Available, available, needs, own_probe_size, require_enough
from fr_training.bank.pairs import Drafts, draft_different, draft_same, others_of_pairs, pair_items
from fr_training.bank.photo_order import with_order_as_condition
from fr_training.bank.pictures import PictureSpec, Shown
from fr_training.bank.pool import Pool
from fr_training.bank.quarantine import told_apart
from fr_training.bank.reports import EquatedForms, FormReport, equated_forms, report_of
from fr_training.bank.roster import Bools, Roster, roster_of, subset
from fr_training.bank.shares import FormSet, Workbench, form_sets, lacking_alike
from fr_training.bank.triads import draft_triads, triad_items
from fr_training.bank.triage import triage_items
from fr_training.courses import Form, Item, Learned
from fr_training.plan import PAIRS, CoursePlan
from fr_training.prompts import ExerciseKind


@dataclass(frozen=True, slots=True)
class Composed:
    """What a course is made of, before its pictures are.

    Attributes:
        forms: by name, those of `CoursePlan.forms`; photos of items are indices in `pictures`.
        pictures: to be made.
        gallery: number of a person -> index of the picture, of everybody who is enrolled and may be shown as a
            candidate: where the plan has own probes, the whole gallery that these may search, none of whom is in any
            form but those of lists; else those on lists.
        manifest_sha256: over the manifests of all forms, 64 hexadecimal digits.
        reports: of each form, by name.
        equated: of each set of at least two forms.
        learned_items: items of the forms whose difficulty answers to earlier courses have moved.
    """

    forms: Mapping[str, Form]
    pictures: tuple[PictureSpec, ...]
    gallery: Mapping[int, int]
    manifest_sha256: str
    reports: Mapping[str, FormReport]
    equated: tuple[EquatedForms, ...]
    learned_items: int


def compose(plan: CoursePlan, pool: Pool, seed: int, matcher: Matcher, learned: Learned | None = None) -> Composed:
    """Choose who is shown where.

    People with two photos come first: those of triads are kept, those of pairs of one person and of lists with the
    person are chosen. Then come pairs of two people, probes that are not enrolled, triads, photos to triage, and the
    gallery.

    Args:
        plan: what is wanted.
        pool: whom there is; what is known to be mislabelled was left out by `quarantine.without`.
        seed: at least 0; with the plan, the photos of the pool and what was learned it decides everything.
        matcher: with nobody enrolled yet; used only where the plan has lists or own probes.
        learned: from the answers to earlier courses; None for nothing. Pairs and triads have the difficulties that it
            moves, and none is shown that it makes suspect.

    Raises:
        TooFewPeople: the pool holds fewer people than `needs` counts, or too few without the suspect ones, or too
            few whose photos have conditions that do not give the answers away.
    """
    pool, ordered = with_order_as_condition(told_apart(pool))
    learned = learned or Learned()
    there = available([person.photo_conditions for person in pool.people])
    require_enough(plan, there, ordered=ordered)
    roster = roster_of(pool)
    aside = suspect_people(learned, roster)
    require_enough(plan, _without(there, aside, roster), int(aside.sum()))
    bench = Workbench(roster, seed, np.ones(len(roster.people), dtype=np.bool_), aside, learned)
    bench.for_triads = _kept_for_triads(bench, needs(plan).people_with_two_alike)
    sets = form_sets(plan)
    items, gallery = _items(bench, sets, own_probe_size(plan), matcher)
    forms = {name: _form(bench, name, one, items[name]) for one in sets for name in one.forms}
    persons = {person.number: person for person in pool.people}
    return Composed(
        forms=forms,
        pictures=bench.book.specs,
        gallery=gallery,
        manifest_sha256=course_sha256(forms),
        reports={name: report_of(name, form.items, persons) for name, form in forms.items()},
        equated=tuple(equated_forms(one, items) for one in sets if len(one.forms) > 1),
        learned_items=sum(moved_items(learned, form.items) for form in forms.values()),
    )


def _without(there: Available, aside: Bools, roster: Roster) -> Available:
    return replace(
        there,
        with_two_photos=there.with_two_photos - int(aside.sum()),
        with_two_alike=there.with_two_alike - int((aside & roster.two_alike).sum()),
    )


def _kept_for_triads(bench: Workbench, count: int) -> Bools:
    """Draw `count` people with two photos of one condition, as bool[n]; those set aside or doubtful come last."""
    roster, kept = bench.roster, np.zeros(len(bench.free), dtype=np.bool_)
    drawn = bench.rng("triads").permutation(subset(roster.two_alike))
    kept[drawn[np.argsort((bench.aside | roster.doubtful)[drawn], kind="stable")][:count]] = True
    return kept


def _items(
    bench: Workbench, sets: Sequence[FormSet], own: int, matcher: Matcher
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
        elif one.block.exercise == ExerciseKind.OWN_PROBE:
            items |= {name: _places(name, one.block.trials) for name in one.forms}
    chosen = mended(bench, Chosen(same, different, odd, present))
    for one in triads:
        items |= triad_items(bench, one, chosen.triads[one.key])
    for one in pairs:
        items |= pair_items(bench, one, chosen.same, chosen.different)
    if not lists and not own:
        return items, {}
    probes = [Probes(name, one.block.size, chosen.present[name], absent[name]) for one in lists for name in one.forms]
    gallery = enrolled(bench, probes, own)
    matcher.enrol([(bench.roster.people[person].number, bench.roster.second[person]) for person in gallery.tolist()])
    found = list_items(bench, probes, gallery, matcher)
    return items | found, _gallery(bench, gallery, found, own)


def _mated(bench: Workbench, pairs: Sequence[FormSet], lists: Sequence[FormSet]) -> tuple[Drafts, Mapping[str, Index]]:
    """Choose the pairs of one person and the people on lists, only in conditions for which there are enough others.

    Raises:
        TooFewPeople: no condition has enough people.
    """
    roster = bench.roster
    barred = np.zeros(int(roster.conditions.max()) + 1, dtype=np.bool_)
    while True:
        same, present = draft_same(bench, pairs), draft_present(bench, lists)
        if len(barred) == 1:
            return same, present
        free = np.bincount(roster.conditions[bench.free & ~bench.for_triads], minlength=len(barred))
        missing = others_of_pairs(bench, pairs, same) + others_of_lists(bench, lists, present) - free
        if (missing <= 0).all():
            return same, present
        barred |= missing > 0
        bench.barred = np.asarray(barred[roster.conditions], dtype=np.bool_)
        mated = [draft.a for rows in same.values() for row in rows for draft in row]
        mated += [person for people in present.values() for person in people.tolist()]
        bench.release(mated)
        if barred.all() or (bench.free & roster.two & ~bench.for_triads & ~bench.barred).sum() < len(mated):
            raise lacking_alike(int(missing.max()), "the pairs and lists")


def _gallery(bench: Workbench, gallery: Index, lists: Mapping[str, Sequence[Item]], own: int) -> Mapping[int, int]:
    on_lists = {person for items in lists.values() for item in items for person in item.people}
    roster: Roster = bench.roster
    return {
        roster.people[person].number: bench.book.numbers((Shown(roster.second[person]),))[0]
        for person in gallery.tolist()
        if own or roster.people[person].number in on_lists
    }


def _places(form: str, count: int) -> list[Item]:
    """Places that own probes will fill."""
    return [Item(own_probe_id(form, number), (), None, None, ()) for number in range(count)]


def _form(bench: Workbench, name: str, one: FormSet, items: Sequence[Item]) -> Form:
    """A form in an order that is drawn, and tells nothing."""
    order = bench.rng("order", name).permutation(len(items)).tolist()
    drawn = tuple(items[number] for number in order)
    model = bench.roster.pool.model
    shown = [bench.book.shown(item.photos) for item in drawn]
    manifest = manifest_of(name, one.block.exercise, model, bench.seed, drawn, shown)
    return Form(name, drawn, form_sha256(manifest))
