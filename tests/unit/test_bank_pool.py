"""The pool of people of a bank: its needs, the manifest of a course, and the conditions of photos."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fr_core.types import ModelId
from fr_training.answers import Degraded, Usability
from fr_training.bank.compose import Composed
from fr_training.bank.labels import age_of, sex_of, shared_labels, traits_of
from fr_training.bank.manifest import (
    PictureBook,
    Shown,
    canonical,
    course_sha256,
    item_id_of,
    manifest_of,
    own_probe_id,
    sha256_of,
)
from fr_training.bank.needs import Available, PlanNeeds, available, needs, require_enough
from fr_training.bank.pool import Pool, PoolPerson, PoolPhoto, without_photos, without_shared_photos
from fr_training.courses import Form, Item, Learned
from fr_training.errors import TooFewPeople
from fr_training.keys import ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import read_plan
from fr_training.prompts import ExerciseKind
from fr_training.shipped_plans import plan_text
from support.people import MODEL, made_course, made_pool, plan_of, unit

VECTOR = unit(np.ones(4))


def photo(number: int, digit: str) -> PoolPhoto:
    return PoolPhoto(number, digit * 64, VECTOR, 0.0, 1.0)


def pool(*people: str) -> Pool:
    """Each word is a person, each letter of it a photo."""
    found = [
        PoolPerson(number, tuple(photo(100 * number + turn, digit) for turn, digit in enumerate(word)))
        for number, word in enumerate(people)
    ]
    return Pool(tuple(found), ModelId("made-up", "1", "a" * 64))


def hashes(found: Pool) -> list[str]:
    return ["".join(one.sha256[0] for one in person.photos) for person in found.people]


def person(**labels: str) -> PoolPerson:
    return PoolPerson(0, (), labels)


def test_excluded_photos_go_and_people_who_have_no_other() -> None:
    assert hashes(without_photos(pool("ab", "c", "d"), frozenset({"b" * 64, "c" * 64}))) == ["a", "d"]


def test_people_who_share_a_photo_are_one_and_who_has_most_photos_stays() -> None:
    assert hashes(without_shared_photos(pool("ab", "d", "bce", "f", ""))) == ["bce", "d", "f"]
    assert hashes(without_shared_photos(pool("aab"))) == ["ab"]


def test_sex_and_age_are_read_from_the_kinds_that_data_sets_use() -> None:
    assert [sex_of({kind: "Female "}) for kind in ("face_gender", "gender", "sex", "hair")] == ["female"] * 3 + [""]
    assert sex_of({"sex": "M"}) == "male"
    assert [age_of({"face_age": text}) for text in ("24", "old", "nan", "-1", "")] == [24.0, None, None, None, None]
    assert age_of({"age": "30.5"}) == 30.5


def test_labels_that_all_share_are_kept_and_ages_by_ten_years() -> None:
    a, b = person(gender="female", age="31", eth="x"), person(gender="female", age="39", eth="y")
    assert shared_labels([a, b]) == {"gender": "female", "age": "30-39"}
    assert shared_labels([a, person(age="40")]) == {}


def test_a_pair_loses_most_for_another_data_set_then_for_the_sex_then_for_the_age() -> None:
    people = [
        PoolPerson(0, (), {"sex": "f", "age": "20"}, "x"),
        PoolPerson(1, (), {"sex": "f", "age": "31"}, "x"),
        PoolPerson(2, (), {"sex": "m", "age": "20"}, "x"),
        PoolPerson(3, (), {"sex": "f", "age": "20"}, "y"),
        PoolPerson(4, (), {}, "x"),
    ]
    lost = traits_of(people).unlike(np.array([0]), np.arange(5))
    assert lost is not None
    own, age, sex, source, unknown = lost[0].tolist()
    assert own == unknown == 0.0
    assert age > 2.0
    assert sex > age + 2.0
    assert source > sex + age + 2.0
    assert traits_of([people[4], people[4]]).unlike(np.array([0]), np.array([1])) is None


def test_own_probes_use_the_people_of_the_lists() -> None:
    lists = 'id = "lists"; exercise = "candidates"; present = 1; absent = 1; size = 5'
    for size, people in ((5, 11), (10, 11), (12, 13)):
        own = f'id = "own"; exercise = "own_probe"; trials = 1; size = {size}'
        assert needs(plan_of(f"{lists}\n{own}")).people == people


def test_forms_that_two_blocks_show_count_once_and_those_of_two_groups_twice() -> None:
    first = 'id = "first"; exercise = "verification"; same = 3; different = 3; minutes = 10'
    second = 'id = "second"; exercise = "blind"; verifies = "first"; minutes = 5'
    assert needs(plan_of(f"{first}\n{second}")) == PlanNeeds(18, 6, 15, 12, 0)


def test_what_is_missing_is_told() -> None:
    plan = plan_of('id = "one"; exercise = "verification"; same = 80; different = 66')
    with pytest.raises(TooFewPeople) as refused:
        require_enough(plan, Available(102, 60, 60))
    assert refused.value.what == (
        "The plan shows 212 people, of whom 80 need two photos; the data sets hold 102 and 60: 110 are missing."
    )
    assert refused.value.metadata == {"people": "212", "with_two_photos": "80", "missing": "110"}


def test_people_are_counted_by_their_photos_and_conditions() -> None:
    people = [[], [""], ["", ""], ["neutral", "smiling"], ["neutral", "smiling", "neutral"], ["neutral"]]
    assert available(people) == Available(people=5, with_two_photos=3, with_two_alike=2)


def test_triads_of_people_whose_photos_differ_in_condition_are_refused_with_the_way_out() -> None:
    plan = plan_of('id = "odd"; exercise = "triad"; trials = 20')
    require_enough(plan, Available(102, 102, 20))
    with pytest.raises(TooFewPeople) as refused:
        require_enough(plan, Available(102, 102, 0))
    assert refused.value.what == (
        "The triads of the plan need 20 people with two photos of one condition, such as one expression; the data sets "
        "hold 0. Photos of different conditions would give away which photo is the odd one. Show pairs instead of "
        "triads, or add a data set with such photos."
    )
    assert refused.value.metadata == {"missing": "20"}


A, B, C = (Shown(person.photos[0]) for person in made_pool(3, 0).people)


def test_an_id_does_not_depend_on_order_nor_on_what_the_machine_says() -> None:
    pair = PairKey(False, 0.5)
    assert item_id_of(pair, (A, B)) == item_id_of(replace(pair, similarity=0.1, advice_same=True), (B, A))
    assert item_id_of(TriadKey(0, 0, 0.1), (A, B, C)) == item_id_of(TriadKey(2, 1, 0.2), (C, B, A))
    assert item_id_of(ListKey(0, (0.2, 0.1)), (A, B, C)) == item_id_of(ListKey(1, (0.3, 0.2)), (A, C, B))


def test_an_id_depends_on_what_is_shown_and_what_is_right() -> None:
    ids = [
        item_id_of(PairKey(False, 0.5), (A, B)),
        item_id_of(PairKey(True, 0.5), (A, B)),
        item_id_of(PairKey(False, 0.5), (A, C)),
        item_id_of(TriadKey(0, 0, 0.1), (A, B, C)),
        item_id_of(TriadKey(1, 0, 0.1), (A, B, C)),
        item_id_of(ListKey(0, (0.2, 0.1)), (A, B, C)),
        item_id_of(ListKey(1, (0.2, 0.1)), (A, B, C)),
        item_id_of(ListKey(None, (0.2, 0.1)), (A, B, C)),
        item_id_of(ListKey(None, (0.2, 0.1)), (B, A, C)),
        item_id_of(TriageKey(Usability.LIMITED, None, 0.0), (A,)),
        item_id_of(TriageKey(Usability.REJECT, None, 0.0), (A,)),
        item_id_of(TriageKey(Usability.REJECT, None, 0.0), (replace(A, degraded=Degraded.BLUR, strength=4.0),)),
        own_probe_id("one", 0),
        own_probe_id("one", 1),
        own_probe_id("two", 0),
    ]
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in ids)


def manifest(**changed: object) -> str:
    item = Item("0" * 16, (0, 1), PairKey(False, 0.5), 1.25, (0, 1))
    told: dict[str, object] = {
        "form": "one",
        "exercise": ExerciseKind.AIDED,
        "model": MODEL,
        "seed": 7,
        "items": [item],
        "shown": [[A, B]],
    }
    return manifest_of(**(told | changed))  # type: ignore[arg-type]


def test_a_manifest_is_canonical_and_says_what_it_must() -> None:
    text = manifest()
    told = json.loads(text)
    assert text == canonical(told)
    assert told == {
        "exercise": "aided",
        "form": "one",
        "format": 1,
        "items": [
            {
                "advice": "",
                "b": 1.25,
                "id": "0" * 16,
                "pictures": [A.photo.sha256, B.photo.sha256],
                "truth": "different",
            }
        ],
        "model": {"pack": "made-up", "sha256": "a" * 64, "version": "1"},
        "seed": 7,
    }


def test_everything_that_a_form_is_changes_its_hash() -> None:
    item = Item("0" * 16, (0, 1), PairKey(False, 0.5), 1.25, (0, 1))
    texts = [
        manifest(),
        manifest(form="two"),
        manifest(exercise=ExerciseKind.VERIFICATION),
        manifest(model=replace(MODEL, version="2")),
        manifest(seed=8),
        manifest(items=[replace(item, b=1.251)]),
        manifest(items=[replace(item, key=PairKey(True, 0.5))]),
        manifest(items=[replace(item, key=PairKey(False, 0.5, advice_same=True))]),
        manifest(items=[replace(item, key=PairKey(False, 0.5, advice_same=False))]),
        manifest(shown=[[B, A]]),
        manifest(shown=[[A, replace(B, degraded=Degraded.BLUR, strength=4.0)]]),
    ]
    assert len(set(map(sha256_of, texts))) == len(texts)


def test_the_hash_of_a_course_is_over_its_forms_in_the_order_of_their_names() -> None:
    a, b = Form("a", (), "0" * 64), Form("b", (), "1" * 64)
    assert course_sha256({"a": a, "b": b}) == course_sha256({"b": b, "a": a})
    assert course_sha256({"a": a, "b": b}) != course_sha256({"a": replace(a, manifest_sha256="2" * 64), "b": b})
    assert course_sha256({"a": a}) != course_sha256({"b": replace(a, name="b")})


def test_a_picture_is_in_the_book_once() -> None:
    book = PictureBook()
    spoilt = replace(A, degraded=Degraded.NOISE, strength=35.0)
    assert book.numbers((A, B)) == (0, 1)
    assert book.numbers((B, spoilt, A)) == (1, 2, 0)
    assert book.pictures == [A, B, spoilt]


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


def shown(made: Composed, pool: Pool, item: Item) -> tuple[str, ...]:
    """Conditions of the photos of an item."""
    conditions = {photo.number: photo.condition for person in pool.people for photo in person.photos}
    return tuple(conditions[made.pictures[number].photo.number] for number in item.photos)


def mates(item: Item) -> bool:
    """Whether an item shows somebody twice."""
    assert isinstance(item.key, PairKey | ListKey)
    return item.key.mated if isinstance(item.key, PairKey) else item.key.mate is not None


def by_answer(made: Composed, pool: Pool, form: str) -> dict[bool, Counter[tuple[str, ...]]]:
    """The conditions of items that show a person twice, and of those that do not."""
    found: dict[bool, Counter[tuple[str, ...]]] = {True: Counter(), False: Counter()}
    for item in made.forms[form].items:
        found[mates(item)][shown(made, pool, item)] += 1
    return found


def test_triads_of_people_who_are_neutral_and_smiling_are_refused() -> None:
    with pytest.raises(
        TooFewPeople, match=r"triads of the plan need 8 people with two photos of one condition.*hold 0\."
    ):
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
    found = Counter(shown(made, pool, item) for item in made.forms["odd"].items)
    assert set(found) == {(NEUTRAL,) * 3, (SMILING,) * 3}
    assert all(isinstance(item.key, TriadKey) for item in made.forms["odd"].items)


def test_the_only_people_who_can_be_shown_in_triads_are_kept_for_them() -> None:
    pool = studio(140, 100)
    people = [said(person, NEUTRAL, NEUTRAL) if n < 8 else person for n, person in enumerate(pool.people)]
    plan = plan_of(f'id = "pairs"; exercise = "verification"; same = 20; different = 0\n{LISTS}\n{TRIADS}')
    for seed in range(3):
        made = made_course(plan, replace(pool, people=tuple(people)), seed)
        assert {item.people[0] for item in made.forms["odd"].items} | {
            item.people[1] for item in made.forms["odd"].items
        } >= set(range(8))


def test_pairs_of_two_people_show_the_conditions_of_pairs_of_one() -> None:
    pool = studio(100, 40)  # 60 of them are neutral alone
    found = by_answer(made_course(PAIRS, pool, 1), pool, "pairs")
    assert found == {True: {(NEUTRAL, SMILING): 10}, False: {(NEUTRAL, SMILING): 10}}


@pytest.mark.parametrize(("plan", "missing"), [(PAIRS, "2"), (LISTS, "26")])
def test_where_others_would_have_to_be_shown_in_another_condition_the_course_is_refused(
    plan: str, missing: str
) -> None:
    with pytest.raises(TooFewPeople, match="the condition of a photo would give the answer away") as refused:
        made_course(plan, studio(100, 28), 1)
    assert refused.value.metadata["missing"] == missing


def test_probes_and_candidates_have_the_same_conditions_whether_or_not_the_person_is_there() -> None:
    pool = studio(140, 80)
    found = by_answer(made_course(LISTS, pool, 1), pool, "lists")
    wanted = {(NEUTRAL, *(SMILING,) * 4): 6}
    assert found == {True: wanted, False: wanted}


def test_two_data_sets_have_the_same_share_of_probes_whether_or_not_the_person_is_there() -> None:
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


def test_what_takes_the_place_of_items_that_are_set_aside_has_their_conditions() -> None:
    pool = studio(200, 150)
    people = [said(person, SMILING, SMILING) if n < 20 else person for n, person in enumerate(pool.people)]
    pool, plan = replace(pool, people=tuple(people)), plan_of(f"{PAIRS}\n{TRIADS}\n{LISTS}")
    before = made_course(plan, pool, 1)
    suspects = {item.item_id for name in ("pairs", "odd") for item in before.forms[name].items[:5]}
    made = made_course(plan, pool, 1, Learned(suspects=frozenset(suspects)))
    assert suspects.isdisjoint(item.item_id for form in made.forms.values() for item in form.items)
    assert by_answer(made, pool, "pairs") == by_answer(before, pool, "pairs")
    assert Counter(shown(made, pool, item) for item in made.forms["odd"].items) == {(SMILING,) * 3: 8}


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
    made = made_course(read_plan(plan_text("three-day")), made_pool(5_749, 1_680, size=16, labelled=False))
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


def test_where_everybody_was_photographed_in_one_order_the_order_is_the_condition() -> None:
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


def test_an_order_that_does_not_show_is_no_condition() -> None:
    for seed in range(15):
        made_course(TRIADS, made_pool(60, 60, seed=seed), 1)
    made_course(TRIADS, moved(made_pool(60, 19), 1.0), 1)  # too few to tell
