"""Whole courses of made-up people: who is shown where, with which key, in which condition."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fr_training.answers import Degraded, Usability
from fr_training.bank.compose import Composed
from fr_training.bank.lists import MOST_ENROLLED
from fr_training.bank.pool import Pool, PoolPerson, PoolPhoto
from fr_training.bank.triage import DEGRADATIONS, FRONTAL_DEGREES
from fr_training.courses import Item, Learned
from fr_training.errors import TooFewPeople
from fr_training.keys import ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan_reading import read_plan
from fr_training.shipped_plans import plan_text
from support.counts import NIGHTLY
from support.people import (
    EVERYTHING,
    TASTER,
    ExactMatcher,
    made_course,
    made_pool,
    plan_of,
    require_foils_may_be_there,
    strict_calibration,
    unit,
)

PLAN = plan_of(EVERYTHING)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return made_pool(300, 120, calibration=strict_calibration())


@pytest.fixture(scope="module")
def made(pool: Pool) -> Composed:
    return made_course(PLAN, pool, 5)


def items_of(made: Composed, *forms: str) -> list[Item]:
    return [item for name in forms for item in made.forms[name].items]


def shown(made: Composed, pool: Pool, item: Item) -> list[tuple[int, PoolPhoto]]:
    """Of each photo of an item the number of the person, and the photo."""
    known = {photo.number: (person.number, photo) for person in pool.people for photo in person.photos}
    return [known[made.pictures[number].photo.number] for number in item.photos]


def test_keys_say_what_the_photos_show_and_nobody_is_in_two_items(made: Composed, pool: Pool) -> None:
    require_foils_may_be_there(made, PLAN)
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


def test_wrong_advice_is_as_planned_and_where_the_machine_errs(made: Composed) -> None:
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


def test_candidates_are_the_best_of_the_whole_set_and_own_probes_search_nobody_of_other_forms() -> None:
    matcher, pool = ExactMatcher(), made_pool(300, 300, labelled=False)
    made = made_course(PLAN, pool, 5, matcher=matcher)
    photos = {person.number: person.photos for person in pool.people}
    items = made.forms["lists"].items
    searched = {item.people[0] for item in items}
    forms = {name: {one for item in form.items for one in item.people} for name, form in made.forms.items()}
    tests = {one for name, people in forms.items() if PLAN.forms()[name].equated for one in people}
    left = set(photos) - searched - tests
    ranks = []
    for item in items:
        assert isinstance(item.key, ListKey)
        (probe, photo), *candidates = shown(made, pool, item)
        assert all(one is not photo for _, one in candidates)
        similar = {one: [float(two.embedding @ photo.embedding) for two in photos[one]] for one in left}
        best = sorted(left, key=lambda one: -max(similar[one]))
        foils = [(person, one) for person, one in candidates if person != probe]
        assert all(float(one.embedding @ photo.embedding) == max(similar[person]) for person, one in foils)
        assert tests.isdisjoint(person for person, _ in foils)
        ranks += [best.index(person) for person, _ in foils]
    # But for those who are on another list of the form, and people kept for triads.
    assert np.median(ranks) <= 4
    others = {one for name, people in forms.items() if name != "lists" for one in people}
    assert not others & set(matcher.people)
    mates = {item.people[0] for item in items if isinstance(item.key, ListKey) and item.key.mate is not None}
    assert mates <= set(matcher.people)
    assert forms["lists"] - searched <= set(matcher.people) | others
    assert set(made.gallery) == set(matcher.people)
    for person, number in made.gallery.items():
        assert made.pictures[number].photo is matcher.people[person]
    assert [len(item.photos) for item in made.forms["own"].items] == [0, 0]
    assert len({item.item_id for item in made.forms["own"].items}) == 2


def test_without_own_probes_there_is_no_gallery(pool: Pool) -> None:
    matcher = ExactMatcher()
    made = made_course(TASTER, pool, 1, matcher=matcher)
    assert (matcher.people, made.gallery) == ({}, {})
    used = {number for form in made.forms.values() for item in form.items for number in item.photos}
    assert used == set(range(len(made.pictures)))


def test_the_gallery_of_own_probes_is_limited_and_prefers_people_of_whom_there_is_a_probe() -> None:
    pool = made_pool(MOST_ENROLLED + 400, 300, size=8)
    made = made_course('id = "own"; exercise = "own_probe"; trials = 1; size = 5', pool, 1)
    assert len(made.gallery) == MOST_ENROLLED
    assert set(range(300)) <= set(made.gallery)


def test_everybody_shown_has_two_photos_where_there_are_enough() -> None:
    plan = plan_of('id = "one"; exercise = "verification"; same = 5; different = 5')
    form = made_course(plan, made_pool(90, 40), 1).forms["one"]
    assert all(person < 40 for item in form.items for person in item.people)
    few = made_course(plan, made_pool(41, 8), 1).forms["one"]
    assert any(person >= 8 for item in few.items if len(item.people) == 2 for person in item.people)
    odd = made_course('id = "odd"; exercise = "triad"; trials = 5', made_pool(120, 60), 1)
    assert all(person < 60 for item in odd.forms["odd"].items for person in item.people)


def two_sets(studio: tuple[int, int], news: tuple[int, int]) -> Pool:
    """People of two data sets; those of the second are numbered from 1,000."""
    found = made_pool(*studio, source="studio")
    return replace(found, people=found.people + made_pool(*news, seed=1, source="news", first=1000).people)


@pytest.mark.parametrize("news", [300, 60])
def test_the_data_set_of_a_pair_does_not_tell_what_is_right(news: int) -> None:
    made = made_course(TASTER, two_sets((80, 80), (news, 60)), 2)
    found: dict[bool, list[bool]] = {True: [], False: []}
    for item in items_of(made, "test-a", "test-b"):
        sources = {person < 1000 for person in item.people}
        assert len(sources) == 1
        assert isinstance(item.key, PairKey)
        found[item.key.mated].append(sources.pop())
    assert 0 < sum(found[True]) < 20
    assert sum(found[False]) == pytest.approx(sum(found[True]), abs=1)


def test_pairs_are_of_two_data_sets_only_as_a_last_resort() -> None:
    pool = two_sets((21, 21), (21, 21))
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
    keyed = [(item, item.key.odd) for item in made.forms["odd"].items if isinstance(item.key, TriadKey)]
    odd = [(place, shown(made, pool, item)[place]) for item, place in keyed]
    assert {place for place, _ in odd} == {0, 1, 2}
    firsts = {person.photos[0].number for person in pool.people}
    assert 8 <= sum(photo.number in firsts for _, (_, photo) in odd) <= 32


def test_in_pairs_of_two_people_as_in_those_of_one_a_first_and_a_second_photo_are_shown() -> None:
    pool = made_pool(100, 100)
    made = made_course(TASTER, pool, 1)
    firsts = {person.photos[0].number for person in pool.people}
    for item in items_of(made, "test-a", "test-b", "practice", "aid"):
        assert [photo.number in firsts for _, photo in shown(made, pool, item)] == [True, False]


def test_people_whose_photos_are_most_likely_of_two_are_the_last_resort() -> None:
    pool = made_pool(100, 60, size=64)
    people = list(pool.people)
    for a, b in ((0, 1), (2, 3), (4, 5)):  # have each a photo of the other
        one, other = pool.people[a], pool.people[b]
        people[a] = replace(one, photos=(one.photos[0], other.photos[1]))
        people[b] = replace(other, photos=(other.photos[0], one.photos[1]))
    pool = replace(pool, people=tuple(people))
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


NEUTRAL, SMILING = "neutral", "smiling"
TRIADS = 'id = "odd"; exercise = "triad"; trials = 8'
PAIRS = 'id = "pairs"; exercise = "verification"; same = 10; different = 10'
LISTS = 'id = "lists"; exercise = "candidates"; present = 6; absent = 6; size = 4'


def said(person: PoolPerson, *conditions: str) -> PoolPerson:
    """The person with photos of those conditions, as many as there are of either."""
    photos = (replace(photo, condition=one) for photo, one in zip(person.photos, conditions, strict=False))
    return replace(person, photos=tuple(photos))


def studio(people: int, two: int, *, source: str = "", first: int = 0, seed: int = 0) -> Pool:
    """People who are neutral and smiling; those with one photo are neutral."""
    made = made_pool(people, two, source=source, first=first, seed=seed)
    return replace(made, people=tuple(said(person, NEUTRAL, SMILING) for person in made.people))


def conditions_of(made: Composed, pool: Pool, item: Item) -> tuple[str, ...]:
    conditions = {photo.number: photo.condition for person in pool.people for photo in person.photos}
    return tuple(conditions[made.pictures[number].photo.number] for number in item.photos)


def mates(item: Item) -> bool:
    assert isinstance(item.key, PairKey | ListKey)
    return item.key.mated if isinstance(item.key, PairKey) else item.key.mate is not None


def by_answer(made: Composed, pool: Pool, form: str) -> dict[bool, Counter[tuple[str, ...]]]:
    """The conditions of items that show a person twice, and of those that do not."""
    found: dict[bool, Counter[tuple[str, ...]]] = {True: Counter(), False: Counter()}
    for item in made.forms[form].items:
        found[mates(item)][conditions_of(made, pool, item)] += 1
    return found


def test_triads_of_people_who_are_neutral_and_smiling_are_refused() -> None:
    words = r"triads of the plan need 8 people with two photos of one condition.*hold 0\."
    with pytest.raises(TooFewPeople, match=words):
        made_course(TRIADS, studio(60, 60), 1)


@pytest.mark.parametrize("seed", range(3))
def test_all_photos_of_a_triad_have_one_condition(seed: int) -> None:
    pool = studio(90, 90)
    people = [
        said(person, *([(NEUTRAL,) * 2, (SMILING,) * 2][n % 2])) if n < 20 else person
        for n, person in enumerate(pool.people)
    ]
    pool = replace(pool, people=tuple(people))
    made = made_course(f"{PAIRS}\n{TRIADS}", pool, seed)
    found = Counter(conditions_of(made, pool, item) for item in made.forms["odd"].items)
    assert set(found) == {(NEUTRAL,) * 3, (SMILING,) * 3}
    assert all(isinstance(item.key, TriadKey) for item in made.forms["odd"].items)


def test_the_only_people_who_can_be_shown_in_triads_are_kept_for_them() -> None:
    pool = studio(140, 100)
    people = [said(person, NEUTRAL, NEUTRAL) if n < 8 else person for n, person in enumerate(pool.people)]
    plan = plan_of(f'id = "pairs"; exercise = "verification"; same = 20; different = 0\n{LISTS}\n{TRIADS}')
    for seed in range(3):
        items = made_course(plan, replace(pool, people=tuple(people)), seed).forms["odd"].items
        assert {person for item in items for person in item.people[:2]} >= set(range(8))


def test_pairs_of_two_people_show_the_conditions_of_pairs_of_one() -> None:
    pool = studio(100, 40)  # 60 of them are neutral alone
    found = by_answer(made_course(PAIRS, pool, 1), pool, "pairs")
    assert found == {True: {(NEUTRAL, SMILING): 10}, False: {(NEUTRAL, SMILING): 10}}


@pytest.mark.parametrize(("plan", "missing"), [(PAIRS, "2"), (LISTS, "26")])
def test_courses_whose_conditions_tell_the_answer_are_refused(plan: str, missing: str) -> None:
    with pytest.raises(TooFewPeople, match="the condition of a photo would give the answer away") as refused:
        made_course(plan, studio(100, 28), 1)
    assert refused.value.metadata["missing"] == missing


def test_lists_with_and_without_the_person_have_the_same_conditions() -> None:
    pool = studio(140, 80)
    found = by_answer(made_course(LISTS, pool, 1), pool, "lists")
    wanted = {(NEUTRAL, *(SMILING,) * 4): 6}
    assert found == {True: wanted, False: wanted}


def test_data_sets_have_the_same_share_of_both_kinds_of_lists() -> None:
    one, other = studio(80, 80, source="studio"), made_pool(200, 80, seed=1, source="news", first=1000)
    pool = replace(one, people=one.people + other.people)
    for seed in range(3):
        found = by_answer(made_course(LISTS, pool, seed), pool, "lists")
        assert found[True] == found[False]
        assert set(found[True]) <= {(NEUTRAL, *(SMILING,) * 4), ("",) * 5}


@pytest.mark.parametrize(
    "plan", [PAIRS, LISTS, PAIRS.replace("same = 10", "same = 0"), LISTS.replace("= 6;", "= 0;", 1)]
)
def test_conditions_of_which_there_are_few_are_left_out_of_pairs_and_lists(plan: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        people = [
            said(person, NEUTRAL, SMILING) if n < 90 else said(person, *map(str, rng.integers(3, size=2)))
            for n, person in enumerate(made_pool(120, 100, seed=seed).people)
        ]
        pool = replace(made_pool(1, 1), people=tuple(people))
        made = made_course(plan, pool, seed)
        (name,) = made.forms
        found = by_answer(made, pool, name)
        assert set(found[False]) <= set(found[True]) or not found[True]


@pytest.mark.parametrize("look", ["", "; light = 0.5"])
def test_replacements_have_the_conditions_of_the_items_set_aside(look: str) -> None:
    pool = studio(200, 150)
    people = [said(person, SMILING, SMILING) if n < 20 else person for n, person in enumerate(pool.people)]
    pool, plan = replace(pool, people=tuple(people)), plan_of(f"{PAIRS}{look}\n{TRIADS}{look}\n{LISTS}")
    before = made_course(plan, pool, 1)
    suspects = {item.item_id for name in ("pairs", "odd") for item in before.forms[name].items[:5]}
    made = made_course(plan, pool, 1, Learned(suspects=frozenset(suspects)))
    assert suspects.isdisjoint(item.item_id for form in made.forms.values() for item in form.items)
    assert by_answer(made, pool, "pairs") == by_answer(before, pool, "pairs")
    assert Counter(conditions_of(made, pool, item) for item in made.forms["odd"].items) == {(SMILING,) * 3: 8}


def test_candidates_are_of_the_sex_of_the_probe_where_there_are_enough() -> None:
    pool = made_pool(160, 80)
    people = {person.number: person for person in pool.people}
    made = made_course(LISTS, pool, 1)
    for item in made.forms["lists"].items:
        assert len({people[person].labels["gender"] for person in item.people}) == 1


def test_two_people_are_of_one_ethnicity_where_there_are_enough() -> None:
    pool = made_pool(160, 160)
    words = ("east", "west", "east", "west", "north")
    people = {
        n: replace(person, labels={**person.labels, "ethnicity": words[n % 5]}) for n, person in enumerate(pool.people)
    }
    pool = replace(pool, people=tuple(people.values()))
    made = made_course(f"{PAIRS}\n{TRIADS}", pool, 1)
    for item in (item for form in made.forms.values() for item in form.items):
        assert len({people[person].labels["ethnicity"] for person in item.people}) == 1
        assert len({people[person].labels["gender"] for person in item.people}) == 1


def test_in_a_set_like_lfw_the_number_of_photos_tells_nothing() -> None:
    # No photo can be made poorer here.
    plan = read_plan(plan_text("three-day").replace('about = "quality"', 'about = "gallery"'))
    made = made_course(plan, made_pool(5_749 if NIGHTLY else 2_200, 1_680, size=16, labelled=False))
    for form in made.forms.values():
        for item in form.items:
            if isinstance(item.key, PairKey | TriadKey | ListKey):
                assert max(item.people) < 1_680  # who has two photos


def moved(pool: Pool, by: float) -> Pool:
    """The pool with the second photo of everybody moved in one and the same direction."""
    way = unit(np.ones(len(pool.people[0].photos[0].embedding)))
    people = []
    for person in pool.people:
        first, *rest = person.photos
        moved = (replace(photo, embedding=unit(photo.embedding + by * way)) for photo in rest)
        people.append(replace(person, photos=(first, *moved)))
    return replace(pool, people=tuple(people))


def test_one_order_of_all_photos_is_a_condition() -> None:
    pool = moved(made_pool(90, 60), 1.0)
    words = r"hold 0\..*in the same order.*conditions\.csv.*Show pairs instead of triads"
    with pytest.raises(TooFewPeople, match=words):
        made_course(TRIADS, pool, 1)
    firsts = {person.photos[0].number for person in pool.people}
    plan = f"{PAIRS}\n{LISTS}".replace("absent = 6", "absent = 1")
    made = made_course(plan, pool)
    assert made_course(plan, pool) == made
    for item in made.forms["pairs"].items:
        assert [made.pictures[number].photo.number in firsts for number in item.photos] == [True, False]
    for seed in range(15):  # an order that does not show is none
        made_course(TRIADS, made_pool(60, 60, seed=seed), 1)
    made_course(TRIADS, moved(made_pool(60, 19), 1.0), 1)  # too few to tell
