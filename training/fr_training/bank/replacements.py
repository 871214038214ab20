"""Replaces items that are set aside by others of people who are in no form, as near in difficulty as possible.

It runs when everything is chosen, so that nothing else of a course changes; only people on lists are replaced before
their foils are found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from fr_core.scoring.checks import F64
from fr_locales.messages import message
from fr_training.bank.impostors import nearest
from fr_training.bank.labels import Index
from fr_training.bank.pairs import Drafts, PairDraft, pair_draft
from fr_training.bank.prepared import Bools
from fr_training.bank.triads import TriadDraft, odd_ones, triad_draft
from fr_training.bank.workbench import Workbench, suspect_pair
from fr_training.errors import TooFewPeople

D = TypeVar("D", PairDraft, TriadDraft)

_LIKE = -1.0  # the least score of two people who are neither unlike nor doubtful; see `Impostors`


@dataclass(frozen=True, slots=True)
class Chosen:
    """The items that a course is to show, lists and triage apart."""

    same: Drafts
    different: Drafts
    triads: Mapping[str, list[list[TriadDraft]]]


def with_replacements(bench: Workbench, chosen: Chosen) -> Chosen:
    """Put others in the place of suspect items, and of people whose two photos are set aside; raises `TooFewPeople`."""
    if not bench.learned.suspects:
        return chosen
    tables: list[Mapping[str, list[list[PairDraft]]] | Mapping[str, list[list[TriadDraft]]]]
    tables = [chosen.same, chosen.different, chosen.triads]
    drafts = [draft for table in tables for rows in table.values() for row in rows for draft in row]
    bench.release(person for draft in drafts if draft.judged.suspect for person in draft.people)
    rng = bench.rng("with_replacements triads")

    @cache
    def likely() -> _Impostors:
        return _impostors(bench, bench.others(2))

    return Chosen(
        same=_mapped(chosen.same, lambda draft: _same(bench, draft)),
        triads=_mapped(chosen.triads, lambda draft: _triad(bench, draft, rng)),
        different=_mapped(chosen.different, lambda draft: _different(bench, draft, likely())),
    )


def with_others_present(bench: Workbench, present: Mapping[str, Index]) -> Mapping[str, Index]:
    """Put others in the place of people on lists whose two photos are set aside; raises `TooFewPeople`."""
    bench.release(person for people in present.values() for person in people.tolist() if bench.aside[person])
    return {form: _present(bench, people) for form, people in present.items()}


def _mapped(table: Mapping[str, Sequence[Sequence[D]]], other: Callable[[D], D]) -> dict[str, list[list[D]]]:
    return {
        name: [[other(draft) if draft.judged.suspect else draft for draft in row] for row in rows]
        for name, rows in table.items()
    }


def _same(bench: Workbench, draft: PairDraft) -> PairDraft:
    among = _so_shown(bench, draft.a)
    person = _with_two(bench, bench.prepared.same.of(bench.prepared.mated_similarity), draft.a, among)
    return pair_draft(bench, person, person, draft.poorer)


def _present(bench: Workbench, people: Index) -> Index:
    b = bench.prepared.margin.of(bench.prepared.margins)
    found = [
        _with_two(bench, b, person, _so_shown(bench, person)) if bench.aside[person] else person
        for person in people.tolist()
    ]
    return np.array(found, dtype=np.int64)


def _so_shown(bench: Workbench, person: int) -> Bools:
    """bool[n]: people whose first and second photo have the same conditions as those of a person."""
    conditions = bench.prepared.conditions
    return np.asarray(conditions == conditions[person], dtype=np.bool_)


def _with_two(bench: Workbench, b: F64, like: int, among: Bools) -> int:
    """Take a free person with two photos, nearest to `like` in difficulty, of the same data set if there is one.

    `b` is f64[n], NaN where somebody has one photo; `among` is bool[n], whose photos have the right conditions.
    """
    prepared = bench.prepared
    there = np.flatnonzero(
        bench.free & prepared.two & ~bench.aside & ~bench.unsearched & ~bench.listed & ~bench.for_triads & among
    )
    if not len(there):
        raise _lacking(1)
    group = prepared.group
    order = np.lexsort((np.abs(b[there] - b[like]), group[there] != group[like], prepared.doubtful[there]))
    person = int(there[order[0]])
    bench.take([person])
    return person


def _triad(bench: Workbench, draft: TriadDraft, rng: np.random.Generator) -> TriadDraft:
    condition, b = draft.shown.condition, bench.prepared.margin.of(bench.prepared.margins)
    among = np.array([pair is not None and pair[0].condition == condition for pair in bench.prepared.alike])
    twice = np.array([_with_two(bench, b, draft.a, among)], dtype=np.int64)
    others = bench.free & ~bench.listed
    while pairs := list(odd_ones(bench, twice, bench.others(1, others))):
        (pair,) = pairs
        found = triad_draft(bench, pair, rng, draft.poorer)
        if not found.judged.suspect:
            bench.take([found.odd])
            return found
        others[found.odd] = False
    raise _lacking(1)


@dataclass(frozen=True, slots=True, eq=False)
class _Impostors:
    """Pairs of near impostors: i64[n] `a` and `b`, their difficulty by the machine, f64[n], and `unlike`, bool[n].

    Unlike are those who differ in what the labels say, or are perhaps one person.
    """

    a: Index
    b: Index
    difficulty: F64
    unlike: Bools


def _different(bench: Workbench, draft: PairDraft, likely: _Impostors) -> PairDraft:
    """Of the same data set, sex and age if there is one."""
    free = np.flatnonzero(bench.free & ~bench.listed)
    pair = _best(bench, likely, draft) or _best(bench, _impostors(bench, free), draft)
    if pair is None:
        raise _lacking(max(1, 2 - len(free)))
    bench.take(pair)
    return pair_draft(bench, *pair, draft.poorer)


def _best(bench: Workbench, found: _Impostors, draft: PairDraft) -> tuple[int, int] | None:
    """Of those who are free, the two whose pair is nearest in difficulty; None where all are suspect."""
    group = bench.prepared.group
    shown = _so_shown(bench, draft.a) & bench.free & ~bench.listed
    there = np.flatnonzero(shown[found.a] & shown[found.b])
    apart = np.abs(found.difficulty[there] - draft.judged.machine)
    order = there[np.lexsort((apart, group[found.a[there]] != group[draft.a], found.unlike[there]))]
    pairs = ((int(found.a[place]), int(found.b[place])) for place in order)
    return next((pair for pair in pairs if not suspect_pair(bench.learned, bench.prepared, *pair, bench.looks)), None)


def _impostors(bench: Workbench, people: Index) -> _Impostors:
    found = nearest(bench.prepared.faces, people, people)
    score = found.score.ravel()
    there = np.isfinite(score)
    return _Impostors(
        a=np.repeat(people, found.people.shape[1])[there],
        b=found.people.ravel()[there],
        difficulty=bench.prepared.different.of(found.similarity.ravel()[there].astype(np.float64)),
        unlike=score[there] < _LIKE,
    )


def _lacking(missing: int) -> TooFewPeople:
    return TooFewPeople(message("error.bank.people_for_replacements", count=missing), missing=str(missing))
