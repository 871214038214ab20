"""Whole courses of made-up people: who is shown where, with which key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fr_training.answers import Degraded, Usability
from fr_training.bank.compose import Composed
from fr_training.bank.lists import MOST_ENROLLED
from fr_training.bank.pool import Pool, PoolPhoto
from fr_training.bank.triage import DEGRADATIONS, FRONTAL_DEGREES
from fr_training.courses import Item
from fr_training.keys import ListKey, PairKey, TriadKey, TriageKey
from support.people import (
    EVERYTHING,
    TASTER,
    ExactMatcher,
    made_course,
    made_pool,
    plan_of,
    shown_people,
    strict_calibration,
)

PLAN = plan_of(EVERYTHING)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return made_pool(300, 120, calibration=strict_calibration())


@pytest.fixture(scope="module")
def made(pool: Pool) -> Composed:
    return made_course(PLAN, pool, 5)


def photos_of(pool: Pool) -> dict[int, tuple[int, PoolPhoto]]:
    """Number of a photo -> number of the person, and the photo."""
    return {photo.number: (person.number, photo) for person in pool.people for photo in person.photos}


def items_of(made: Composed, *forms: str) -> list[Item]:
    return [item for name in forms for item in made.forms[name].items]


def shown(made: Composed, pool: Pool, item: Item) -> list[tuple[int, PoolPhoto]]:
    return [photos_of(pool)[made.pictures[number].photo.number] for number in item.photos]


def test_keys_say_what_the_photos_show_and_nobody_is_in_two_items(made: Composed, pool: Pool) -> None:
    people = shown_people(made)
    assert len(set(people)) == len(people)
    assert {name: len(form.items) for name, form in made.forms.items()} == {
        name: block.items for name, block in PLAN.forms().items()
    }
    for item in (item for form in made.forms.values() for item in form.items):
        whose = [person for person, _ in shown(made, pool, item)]
        vectors = [photo.embedding for _, photo in shown(made, pool, item)]
        similarity = np.array(vectors) @ np.array(vectors).T if vectors else np.empty((0, 0))
        assert list(item.people) == list(dict.fromkeys(item.people))
        assert len(set(item.photos)) == len(item.photos)
        assert set(item.people) == set(whose)
        match item.key:
            case PairKey():
                assert item.key.mated == (whose[0] == whose[1])
                assert item.key.similarity == pytest.approx(similarity[0, 1], abs=1e-6)
                assert pool.calibration is not None
                assert item.key.log10_lr == pool.calibration.log10_lr(item.key.similarity).log10_lr
            case TriadKey():
                pair = [i for i in range(3) if i != item.key.odd]
                assert whose[pair[0]] == whose[pair[1]] != whose[item.key.odd]
                left = {i: similarity[(i + 1) % 3, (i + 2) % 3] for i in range(3)}
                assert item.key.machine_odd == max(left, key=lambda i: left[i])
                margin = left[item.key.odd] - max(left[i] for i in pair)
                assert item.key.margin == pytest.approx(margin, abs=1e-6)
            case ListKey():
                assert item.key.similarities == pytest.approx(similarity[0, 1:], abs=1e-6)
                assert list(item.key.similarities) == sorted(item.key.similarities, reverse=True)
                mates = [place for place, person in enumerate(whose[1:]) if person == whose[0]]
                assert mates == ([] if item.key.mate is None else [item.key.mate])
            case None:
                assert (item.photos, item.people, item.b) == ((), (), None)


def test_wrong_advice_is_as_planned_and_over_both_truths_and_where_the_machine_errs(made: Composed) -> None:
    keys = [item.key for item in made.forms["aid"].items if isinstance(item.key, PairKey)]
    wrong = [key for key in keys if key.advice_same != key.mated]
    assert len(wrong) == 3
    assert sum(key.mated for key in wrong) in (1, 2)
    assert all(key.advice_same is not None for key in keys)
    errs = [key.log10_lr is not None and (key.log10_lr > 0.0) != key.mated for key in wrong]
    assert all(errs)  # there are pairs enough of both truths on which it does
    others = [item.key for name, form in made.forms.items() if name != "aid" for item in form.items]
    assert all(key.advice_same is None for key in others if isinstance(key, PairKey))


def test_triage_spreads_kinds_and_strengths_and_spoils_frontal_photos(made: Composed, pool: Pool) -> None:
    kinds: Counter[tuple[Usability, Degraded | None]] = Counter()
    for item in made.forms["triage"].items:
        key, spec, (_, photo) = item.key, made.pictures[item.photos[0]], shown(made, pool, item)[0]
        assert isinstance(key, TriageKey)
        kinds[key.usability, key.degraded] += 1
        if key.degraded == Degraded.POSE:
            low, high = (25.0, 45.0) if key.usability == Usability.LIMITED else (45.0, 180.0)
            assert low <= abs(photo.yaw_degrees) < high
            assert key.strength == pytest.approx(abs(photo.yaw_degrees), abs=0.05)
            assert (spec.degraded, spec.strength) == (None, 0.0)
            continue
        assert abs(photo.yaw_degrees) <= FRONTAL_DEGREES
        assert (spec.degraded, spec.strength) == (key.degraded, key.strength)
        if key.degraded is None:
            assert (key.usability, key.strength) == (Usability.USABLE, 0.0)
        else:
            assert key.strength in DEGRADATIONS[key.degraded].strengths(key.usability)
    assert kinds[Usability.USABLE, None] == 4
    for usability in (Usability.LIMITED, Usability.REJECT):  # six of each, and six kinds
        assert all(kinds[usability, kind] == 1 for kind in Degraded)


@pytest.mark.parametrize(("yaw", "posed"), [(0.0, {}), (-60.0, {Usability.REJECT: 2})])
def test_where_no_head_is_turned_so_far_other_kinds_take_the_place(yaw: float, posed: dict[Usability, int]) -> None:
    pool = made_pool(60, 0)
    people = tuple(
        replace(person, photos=tuple(replace(photo, yaw_degrees=yaw) for photo in person.photos))
        for person in pool.people
    )
    plan = 'id = "look"; exercise = "triage"; usable = 0; limited = 10; reject = 10'
    form = made_course(plan, replace(pool, people=people)).forms["look"]
    keys = [item.key for item in form.items if isinstance(item.key, TriageKey)]
    assert Counter(key.usability for key in keys if key.degraded == Degraded.POSE) == posed
    limited = Counter((key.degraded, key.strength) for key in keys if key.usability == Usability.LIMITED)
    assert set(limited.values()) == {1}
    rejected = {key.degraded for key in keys if key.usability == Usability.REJECT}
    assert rejected - {Degraded.POSE} == set(Degraded) - {Degraded.POSE}


def test_candidates_are_the_best_who_are_enrolled_and_on_no_other_list() -> None:
    matcher, pool = ExactMatcher(), made_pool(300, 300, labelled=False)
    made = made_course(PLAN, pool, 5, matcher=matcher)
    on_lists = {person for item in made.forms["lists"].items for person in item.people}
    others = set(shown_people(made)) - on_lists
    for item in made.forms["lists"].items:
        assert isinstance(item.key, ListKey)
        (probe, photo), *candidates = shown(made, pool, item)
        assert (probe in matcher.people) == (item.key.mate is not None)
        assert all(matcher.people[person] is one for person, one in candidates)
        assert photo not in matcher.people.values()
        free = set(matcher.people) - on_lists
        best = max(float(matcher.people[person].embedding @ photo.embedding) for person in free)
        foils = [s for place, s in enumerate(item.key.similarities) if place != item.key.mate]
        assert min(foils) >= best - 1e-6
    assert not others & set(matcher.people)


def test_an_own_probe_searches_people_who_have_a_picture_and_are_in_no_form_but_lists(pool: Pool) -> None:
    matcher = ExactMatcher()
    made = made_course(PLAN, pool, 5, matcher=matcher)
    assert set(made.gallery) == set(matcher.people)
    for person, number in made.gallery.items():
        assert made.pictures[number].photo is matcher.people[person]
    in_forms = {
        person for name, form in made.forms.items() if name != "lists" for item in form.items for person in item.people
    }
    assert not in_forms & set(made.gallery)
    assert [len(item.photos) for item in made.forms["own"].items] == [0, 0]
    assert len({item.item_id for item in made.forms["own"].items}) == 2


def test_without_own_probes_pictures_are_made_of_those_on_lists_alone(pool: Pool) -> None:
    made = made_course(TASTER, pool, 1)
    on_lists = {person for item in made.forms["lists"].items for person in item.people}
    absent = {
        item.people[0] for item in made.forms["lists"].items if isinstance(item.key, ListKey) and item.key.mate is None
    }
    assert set(made.gallery) == on_lists - absent
    used = {number for form in made.forms.values() for item in form.items for number in item.photos}
    assert used == set(range(len(made.pictures)))


def test_without_lists_nobody_is_enrolled(pool: Pool) -> None:
    matcher = ExactMatcher()
    made = made_course('id = "one"; exercise = "verification"; same = 3; different = 3', pool, 1, matcher=matcher)
    assert (matcher.people, made.gallery) == ({}, {})


def test_the_gallery_of_own_probes_is_limited_and_prefers_people_of_whom_there_is_a_probe() -> None:
    pool = made_pool(MOST_ENROLLED + 400, 300, size=8)
    made = made_course('id = "own"; exercise = "own_probe"; trials = 1; size = 5', pool, 1)
    assert len(made.gallery) == MOST_ENROLLED
    assert set(range(300)) <= set(made.gallery)


def test_people_of_different_pairs_and_odd_ones_have_two_photos_as_the_others_where_there_are_enough() -> None:
    plan = plan_of('id = "one"; exercise = "verification"; same = 5; different = 5')
    form = made_course(plan, made_pool(90, 40), 1).forms["one"]
    assert all(person < 40 for item in form.items for person in item.people)
    few = made_course(plan, made_pool(41, 8), 1).forms["one"]
    assert any(person >= 8 for item in few.items if len(item.people) == 2 for person in item.people)
    odd = made_course('id = "odd"; exercise = "triad"; trials = 5', made_pool(120, 60), 1)
    assert all(person < 60 for item in odd.forms["odd"].items for person in item.people)


@pytest.mark.parametrize("news", [300, 60])
def test_the_data_set_of_a_pair_does_not_tell_what_is_right(news: int) -> None:
    studio, others = made_pool(80, 80, source="studio"), made_pool(news, 60, seed=1, source="news", first=1000)
    pool = replace(studio, people=studio.people + others.people)
    made = made_course(TASTER, pool, 2)
    found: dict[bool, list[bool]] = {True: [], False: []}
    for item in items_of(made, "test-a", "test-b"):
        sources = {person < 1000 for person in item.people}
        assert len(sources) == 1
        assert isinstance(item.key, PairKey)
        found[item.key.mated].append(sources.pop())
    assert 0 < sum(found[True]) < 20
    assert sum(found[False]) == pytest.approx(sum(found[True]), abs=1)


def test_pairs_are_of_two_data_sets_only_as_a_last_resort() -> None:
    studio, news = made_pool(21, 21, source="studio"), made_pool(21, 21, seed=1, source="news", first=1000)
    pool = replace(studio, people=studio.people + news.people)
    plan = plan_of('id = "one"; exercise = "verification"; same = 4; different = 19')
    for seed in range(5):
        form = made_course(plan, pool, seed).forms["one"]
        sources = [{person < 1000 for person in item.people} for item in form.items]
        assert sum(len(one) == 2 for one in sources) <= 1


def test_order_in_a_form_does_not_tell_what_is_right() -> None:
    plan = plan_of('id = "one"; exercise = "verification"; same = 10; different = 10')
    pool = made_pool(100, 50)
    first = [
        [isinstance(item.key, PairKey) and item.key.mated for item in made_course(plan, pool, seed).forms["one"].items]
        for seed in range(12)
    ]
    share = np.mean(first, axis=0)
    assert share.min() > 0.0
    assert share.max() < 1.0


def test_the_odd_one_is_at_every_place_and_shown_by_either_photo() -> None:
    pool = made_pool(300, 300)
    made = made_course('id = "odd"; exercise = "triad"; trials = 40', pool, 1)
    odd = [
        (item.key.odd, shown(made, pool, item)[item.key.odd])
        for item in made.forms["odd"].items
        if isinstance(item.key, TriadKey)
    ]
    assert {place for place, _ in odd} == {0, 1, 2}
    firsts = {person.photos[0].number for person in pool.people}
    assert 8 <= sum(photo.number in firsts for _, (_, photo) in odd) <= 32


def test_in_pairs_of_two_people_as_in_those_of_one_a_first_and_a_second_photo_are_shown() -> None:
    pool = made_pool(100, 100)
    made = made_course(TASTER, pool, 1)
    firsts = {person.photos[0].number for person in pool.people}
    for item in items_of(made, "test-a", "test-b", "practice", "aid"):
        assert [photo.number in firsts for _, photo in shown(made, pool, item)] == [True, False]


def exchanged(pool: Pool, pairs: Sequence[tuple[int, int]]) -> Pool:
    """The pool with mistaken labels: the two people of each pair have each a photo of the other."""
    people = list(pool.people)
    for a, b in pairs:
        one, other = pool.people[a], pool.people[b]
        people[a] = replace(one, photos=(one.photos[0], other.photos[1]))
        people[b] = replace(other, photos=(other.photos[0], one.photos[1]))
    return replace(pool, people=tuple(people))


def test_people_whose_photos_are_most_likely_of_two_are_the_last_resort() -> None:
    pool = exchanged(made_pool(100, 60, size=64), [(0, 1), (2, 3), (4, 5)])
    plan = plan_of('id = "one"; exercise = "verification"; same = 54; different = 15')
    for seed in range(3):
        items = made_course(plan, pool, seed).forms["one"].items
        assert not {person for item in items if len(item.people) == 1 for person in item.people} & set(range(6))
    full = plan_of('id = "one"; exercise = "verification"; same = 60; different = 20')
    assert len(made_course(full, pool, 1).forms["one"].items) == 80


def test_two_people_who_are_most_likely_one_are_no_different_pair() -> None:
    pool = made_pool(100, 60, size=64)
    people = list(pool.people)
    likely = [(0, 40), (1, 41), (2, 42)]  # of one sex and age
    for a, b in likely:
        copied = pool.people[a].photos[0].embedding
        people[b] = replace(people[b], photos=tuple(replace(one, embedding=copied) for one in people[b].photos))
    plan = plan_of('id = "one"; exercise = "verification"; same = 5; different = 20')
    for seed in range(5):
        items = made_course(plan, replace(pool, people=tuple(people)), seed).forms["one"].items
        assert not any(set(item.people) == set(pair) for item in items for pair in likely)


def test_lists_are_as_hard_as_their_margin_says(made: Composed, pool: Pool) -> None:
    lists = [(item.key, item.b) for item in made.forms["lists"].items if isinstance(item.key, ListKey)]
    assert len(lists) == 4
    for key, b in lists:
        foils = [s for place, s in enumerate(key.similarities) if place != key.mate]
        assert b is not None
        assert abs(b) < 6.0
        if key.mate is None:
            harder = [c for other, c in lists if other.mate is None and max(other.similarities) > max(foils)]
            assert all(c is not None and c >= b for c in harder)
    plan = plan_of('id = "l"; exercise = "candidates"; present = 30; absent = 0; size = 5')
    found = made_course(plan, pool, 1).forms["l"].items
    keys = [item.key for item in found if isinstance(item.key, ListKey)]
    margins = [key.similarities[key.mate or 0] - max(np.delete(key.similarities, key.mate or 0)) for key in keys]
    assert np.corrcoef(margins, [item.b or 0.0 for item in found])[0, 1] < -0.999


def test_difficulty_falls_with_the_similarity_of_one_person_and_grows_with_that_of_two(pool: Pool) -> None:
    plan = plan_of(
        'id = "one"; exercise = "verification"; same = 40; different = 40\nid = "odd"; exercise = "triad"; trials = 30'
    )
    made = made_course(plan, pool, 1)
    keyed = [(item.key, item.b or 0.0) for item in items_of(made, "one", "odd")]
    for mated, sign in ((True, -1.0), (False, 1.0)):
        found = [(key.similarity, b) for key, b in keyed if isinstance(key, PairKey) and key.mated == mated]
        assert np.corrcoef(np.array(found).T)[0, 1] == pytest.approx(sign, abs=1e-3)
    margins = [(key.margin, b) for key, b in keyed if isinstance(key, TriadKey)]
    assert np.corrcoef(np.array(margins).T)[0, 1] == pytest.approx(-1.0, abs=1e-3)


def test_aided_blocks_seek_out_the_few_pairs_on_which_the_machine_errs() -> None:
    pool = made_pool(120, 120, calibration=strict_calibration())
    assert pool.calibration is not None
    similarities = [float(person.photos[0].embedding @ person.photos[1].embedding) for person in pool.people]
    errs = sum(pool.calibration.log10_lr(similarity).log10_lr <= 0.0 for similarity in similarities)
    assert 4 <= errs <= 30
    plan = plan_of('id = "aid"; exercise = "aided"; same = 8; different = 0; wrong = 4')
    for seed in range(4):
        keys = [item.key for item in made_course(plan, pool, seed).forms["aid"].items]
        wrong = [key for key in keys if isinstance(key, PairKey) and not key.advice_same]
        assert [key.log10_lr is not None and key.log10_lr <= 0.0 for key in wrong] == [True] * 4
