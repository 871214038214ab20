"""The pool of people of a bank: its needs and manifests, and what a bank learns from courses."""

import json
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from fr_core.types import ModelId
from fr_training.answers import Degraded, Usability
from fr_training.bank import impostors
from fr_training.bank.compose import Composed
from fr_training.bank.difficulty import (
    MEAN_TOLERANCE,
    Differences,
    Sign,
    differences,
    equated,
    scale_of,
    spread,
    updated,
)
from fr_training.bank.impostors import Faces, assigned, nearest, paired
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
from fr_training.bank.pool import Pool, PoolPerson, PoolPhoto, Taken, without_photos, without_shared_photos
from fr_training.bank.prepared import prepare
from fr_training.bank.workbench import suspect_pair
from fr_training.courses import ByPeople, Form, Item, Learned, OperatingPoints
from fr_training.errors import TooFewPeople
from fr_training.keys import ListKey, PairKey, TriadKey, TriageKey
from fr_training.prompts import ExerciseKind
from fr_training.store.course_codec import pack_course, unpack_course
from support.people import (
    EVERYTHING,
    MODEL,
    TASTER,
    differences_of,
    different_pairs,
    made_course,
    made_pool,
    of_one_sex_and_age,
    plan_of,
    require_foils_may_be_there,
    shown_people,
    strict_calibration,
    unit,
)
from support.training_stores import small_course


def photo(number: int, digit: str) -> PoolPhoto:
    return PoolPhoto(number, digit * 64, unit(np.ones(4)), 0.0, 1.0)


def pool_of(*people: str) -> Pool:
    """Each word is a person, each letter of it a photo."""
    found = [
        PoolPerson(number, tuple(photo(100 * number + turn, digit) for turn, digit in enumerate(word)))
        for number, word in enumerate(people)
    ]
    return Pool(tuple(found), ModelId("made-up", "1", "a" * 64))


def hashes(found: Pool) -> list[str]:
    return ["".join(one.sha256[0] for one in person.photos) for person in found.people]


def test_of_people_who_share_a_photo_one_stays() -> None:
    assert hashes(without_shared_photos(pool_of("ab", "d", "bce", "f", ""))) == ["bce", "d", "f"]
    assert hashes(without_shared_photos(pool_of("aab"))) == ["ab"]
    assert hashes(without_photos(pool_of("ab", "c", "d"), frozenset({"b" * 64, "c" * 64}))) == ["a", "d"]


def test_sex_and_age_are_read_from_the_kinds_that_data_sets_use() -> None:
    assert [sex_of({kind: "Female "}) for kind in ("face_gender", "gender", "sex", "hair")] == ["female"] * 3 + [""]
    assert sex_of({"sex": "M"}) == "male"
    assert [age_of({"face_age": text}) for text in ("24", "old", "nan", "-1", "")] == [24.0, None, None, None, None]
    assert age_of({"age": "30.5"}) == 30.5
    ages = [{"gender": "female", "age": age, "eth": age} for age in ("31", "39")]
    a, b, c = (PoolPerson(0, (), labels) for labels in (*ages, {"age": "40"}))
    assert shared_labels([a, b]) == {"gender": "female", "age": "30-39"}
    assert shared_labels([a, c]) == {}


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
    assert (age > 2.0, sex > age + 2.0, source > sex + age + 2.0) == (True, True, True)
    assert traits_of([people[4], people[4]]).unlike(np.array([0]), np.array([1])) is None


def test_needs_of_a_plan_and_what_is_missing() -> None:
    first = 'id = "first"; exercise = "verification"; same = 3; different = 3; minutes = 10'
    second = 'id = "second"; exercise = "blind"; verifies = "first"; minutes = 5'
    assert needs(plan_of(f"{first}\n{second}")) == PlanNeeds(18, 6, 15, 12, 0)
    lists = 'id = "lists"; exercise = "candidates"; present = 1; absent = 1; size = 5'
    for size, people in ((5, 11), (10, 11), (12, 13)):  # own probes use the people of the lists
        own = f'id = "own"; exercise = "own_probe"; trials = 1; size = {size}'
        assert needs(plan_of(f"{lists}\n{own}")).people == people
    plan = plan_of('id = "one"; exercise = "verification"; same = 80; different = 66')
    with pytest.raises(TooFewPeople) as refused:
        require_enough(plan, Available(102, 60, 60))
    assert refused.value.what == (
        "The plan shows 212 people, of whom 80 need two photos; the data sets hold 102 and 60: 110 are missing."
    )
    assert refused.value.metadata == {"people": "212", "with_two_photos": "80", "missing": "110"}


def test_triads_of_different_conditions_are_refused_with_the_way_out() -> None:
    plan = plan_of('id = "odd"; exercise = "triad"; trials = 20')
    people = [[], [""], ["", ""], ["neutral", "smiling"], ["neutral", "smiling", "neutral"], ["neutral"]]
    taken = [[Taken(condition) for condition in photos] for photos in people]
    assert available(taken) == Available(people=5, with_two_photos=3, with_two_alike=2)
    sittings = [
        [Taken("", "monday")] * 2,
        [Taken("", "monday"), Taken("", "friday")],
        [Taken("a", "monday"), Taken("a")],
    ]
    assert available(sittings) == Available(people=3, with_two_photos=2, with_two_alike=2)
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
    # It does not depend on the order, nor on what the machine says.
    assert ids[0] == item_id_of(PairKey(False, 0.1, advice_same=True), (B, A))
    assert ids[3] == item_id_of(TriadKey(2, 1, 0.2), (C, B, A))
    assert ids[5] == item_id_of(ListKey(1, (0.3, 0.2)), (A, C, B))


def manifest(**changed: object) -> str:
    item = Item("0" * 16, (0, 1), PairKey(False, 0.5), 1.25, (0, 1))
    told: dict[str, object] = {"form": "one", "exercise": ExerciseKind.AIDED, "model": MODEL, "seed": 7}
    return manifest_of(**(told | {"items": [item], "shown": [[A, B]]} | changed))  # type: ignore[arg-type]


def test_a_manifest_is_canonical_and_says_what_it_must() -> None:
    text = manifest()
    told = json.loads(text)
    pictures = [A.photo.sha256, B.photo.sha256]
    item = {"advice": "", "b": 1.25, "id": "0" * 16, "pictures": pictures, "truth": "different"}
    assert text == canonical(told)
    model = {"pack": "made-up", "sha256": "a" * 64, "version": "1"}
    assert told == {"exercise": "aided", "form": "one", "format": 1, "items": [item], "model": model, "seed": 7}


def test_everything_that_a_form_or_course_is_changes_its_hash() -> None:
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
    # The hash of a course is over its forms in the order of their names.
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


PLAN = plan_of(EVERYTHING)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return made_pool(300, 120, calibration=strict_calibration())


def made_of(pool: Pool, learned: Learned | None = None) -> Composed:
    return made_course(PLAN, pool, 5, learned)


@pytest.fixture(scope="module")
def before(pool: Pool) -> Composed:
    return made_of(pool)


def items_of(made: Composed, wanted: Callable[[Item], bool] = lambda item: True) -> dict[str, Item]:
    return {item.item_id: item for form in made.forms.values() for item in form.items if wanted(item)}


def mated(item: Item) -> bool:
    return isinstance(item.key, PairKey) and item.key.mated


def nonmated(item: Item) -> bool:
    return isinstance(item.key, PairKey) and not item.key.mated


def triad(item: Item) -> bool:
    return isinstance(item.key, TriadKey)


def of_people(item: Item) -> bool:
    return isinstance(item.key, PairKey | TriadKey)


def difficulties(made: Composed, people: int = 30) -> dict[str, ByPeople]:
    rng = np.random.default_rng(3)
    return {item_id: ByPeople(float(rng.normal()), people) for item_id in sorted(items_of(made, of_people))}


def test_who_learned_nothing_makes_the_course_of_who_learned_from_nobody(pool: Pool, before: Composed) -> None:
    assert made_of(pool, Learned()) == before
    assert before.learned_items == 0
    strangers = Learned({"0" * 16: ByPeople(2.0, 50)}, frozenset({"1" * 16}))
    assert made_of(pool, strangers) == before


def test_answers_move_the_difficulties_of_the_same_items(pool: Pool, before: Composed) -> None:
    found = difficulties(before)
    after = made_of(pool, Learned(found))
    old, new = items_of(before), items_of(after)
    assert set(new) == set(old)
    for item_id, item in new.items():
        machine = old[item_id].b
        if item_id in found:
            assert machine is not None
            assert item.b == updated(machine, *found[item_id])
            assert item.b == pytest.approx((10 * machine + 30 * found[item_id].b) / 40, abs=1e-3)
        else:
            assert item.b == machine
    assert after.learned_items == len(found)
    assert after.manifest_sha256 != before.manifest_sha256
    assert made_of(pool, Learned(found)) == after
    assert made_of(pool, Learned(difficulties(before, 31))).manifest_sha256 != after.manifest_sha256


def test_forms_are_equated_by_moved_difficulties() -> None:
    plan, pool = plan_of(TASTER), made_pool(140, 60)
    before = made_course(plan, pool, 2)
    found = {
        item.item_id: ByPeople(b, 1_000)  # form a turned out to be hard, form b easy
        for form, b in (("test-a", 1.5), ("test-b", -1.5))
        for item in before.forms[form].items
    }
    after = made_course(plan, pool, 2, Learned(found))
    assert {item.item_id for form in ("test-a", "test-b") for item in after.forms[form].items} == set(found)
    assert all(one.strain < 1.0 for one in differences_of(after, "test-a", "test-b").values())
    values = [item.b for item in after.forms["test-a"].items if item.b is not None]
    assert min(values) < -1.0 < 1.0 < max(values)


@pytest.mark.parametrize(("kind", "count"), [(mated, 3), (nonmated, 4), (triad, 2)])
def test_items_set_aside_are_not_shown(pool: Pool, before: Composed, kind: Callable[[Item], bool], count: int) -> None:
    suspects = frozenset(sorted(items_of(before, kind))[:count])
    after = made_of(pool, Learned(suspects=suspects))
    old, new = items_of(before, of_people), items_of(after, of_people)
    assert not suspects & set(new)
    assert set(old) - suspects <= set(new)
    assert len(new) == len(old)
    require_foils_may_be_there(after, PLAN)
    for name, form in after.forms.items():
        assert len(form.items) == PLAN.forms()[name].items
        assert sum(map(mated, form.items)) == PLAN.forms()[name].same


def test_others_are_as_hard_as_what_they_replace() -> None:
    plan, pool = plan_of('id = "one"; exercise = "verification"; same = 6; different = 6'), made_pool(400, 300)
    before = made_course(plan, pool, 1)
    for kind in (mated, nonmated):
        for suspect, item in list(items_of(before, kind).items())[:3]:
            after = made_course(plan, pool, 1, Learned(suspects=frozenset({suspect})))
            (other,) = set(items_of(after)) - set(items_of(before))
            assert items_of(after)[other].b == pytest.approx(item.b, abs=0.35)
            assert kind(items_of(after)[other])
            assert [of_one_sex_and_age(*pair) for pair in different_pairs(after, pool, "one")] == [(True, True)] * 6


def test_two_people_who_are_set_aside_are_not_compared_with_other_photos_either() -> None:
    pool = made_pool(5, 5)
    before = made_course('id = "one"; exercise = "verification"; same = 0; different = 2', pool, 1)
    learned, prepared = Learned(suspects=frozenset(items_of(before))), prepare(without_shared_photos(pool))
    numbers = [person.number for person in prepared.people]
    for item in items_of(before).values():
        a, b = map(numbers.index, item.people)
        assert suspect_pair(learned, prepared, a, b)
        assert suspect_pair(learned, prepared, b, a)
        assert not suspect_pair(Learned(), prepared, a, b)
    together = {frozenset(item.people) for item in items_of(before).values()}
    assert sum(suspect_pair(learned, prepared, a, b) for a in range(5) for b in range(a)) == len(together) == 2


def test_photos_set_aside_as_a_pair_are_nowhere_of_one_person(pool: Pool) -> None:
    plan = plan_of("""
        id = "odd"; exercise = "triad"; trials = 30
        id = "l"; exercise = "candidates"; present = 20; absent = 1; size = 3
    """)
    pairs = made_course('id = "one"; exercise = "verification"; same = 60; different = 1', pool, 1)
    suspects = items_of(pairs, mated)
    aside = {item.people[0] for item in suspects.values()}
    before = made_course(plan, pool, 1)
    after = made_course(plan, pool, 1, Learned(suspects=frozenset(suspects)))

    def twice(made: Composed) -> set[int]:
        return {
            item.people[0]
            for item in items_of(made).values()
            if triad(item) or (isinstance(item.key, ListKey) and item.key.mate is not None)
        }

    assert len(twice(before) & aside) > 10
    assert len(twice(after)) == 50
    assert not twice(after) & aside
    assert set(shown_people(after)) & aside  # alone they may be shown


def test_the_data_set_of_a_pair_still_does_not_tell_what_is_right() -> None:
    studio, news = made_pool(60, 60, source="studio"), made_pool(60, 60, seed=1, source="news", first=1000)
    pool = replace(studio, people=studio.people + news.people)
    plan = plan_of('id = "one"; exercise = "verification"; same = 12; different = 12')

    def studios(made: Composed, kind: Callable[[Item], bool]) -> int:
        sources = [{person < 1000 for person in item.people} for item in items_of(made, kind).values()]
        assert all(len(one) == 1 for one in sources)
        return sum(one.pop() for one in sources)

    for seed in range(3):
        before = made_course(plan, pool, seed)
        for of_studio in (True, False):
            some = frozenset(name for name, item in items_of(before).items() if (item.people[0] < 1000) == of_studio)
            after = made_course(plan, pool, seed, Learned(suspects=some))
            assert not set(items_of(after)) & some
            for kind in (mated, nonmated):
                assert studios(after, kind) == studios(before, kind)


def test_people_whose_photos_are_set_aside_count_as_missing() -> None:
    plan = plan_of('id = "one"; exercise = "verification"; same = 10; different = 5')
    pool = made_pool(40, 10)
    suspects = frozenset(sorted(items_of(made_course(plan, pool, 1), mated))[:3])
    with pytest.raises(TooFewPeople, match=r"hold 40 and 7: 3 are missing\. Not counted: 3 whose two") as refused:
        made_course(plan, pool, 1, Learned(suspects=suspects))
    assert refused.value.metadata["missing"] == "3"


@pytest.mark.parametrize(
    "block", ['exercise = "verification"; same = 0; different = 1', 'exercise = "triad"; trials = 1']
)
def test_too_few_people_for_others_is_told(block: str) -> None:
    pool, plan = made_pool(2, 2), f'id = "one"; {block}'

    def more(learned: Learned) -> Learned:
        found = made_course(plan, pool, 1, learned)
        return Learned(suspects=learned.suspects | set(items_of(found)))

    def until_none_is_left() -> None:
        learned = Learned()
        for _ in range(8):
            learned = more(learned)

    assert more(Learned()).suspects
    with pytest.raises(TooFewPeople, match="set aside after earlier courses") as refused:
        until_none_is_left()
    assert refused.value.metadata["missing"] == "1"


def test_a_block_may_be_called_as_a_set_of_others_is() -> None:
    plan = plan_of("""
        id = "pre"; exercise = "verification"; same = 4; different = 4; equated = "test"; occasion = "pre"
        id = "test"; exercise = "verification"; same = 2; different = 3
        id = "post"; exercise = "verification"; same = 4; different = 4; equated = "test"; occasion = "post"
    """)
    made = made_course(plan, made_pool(100, 60), 1)
    assert {name: len(form.items) for name, form in made.forms.items()} == {"test-a": 8, "test-b": 8, "test": 5}
    assert len(set(shown_people(made))) == len(shown_people(made))


def test_tests_may_be_lists_of_equally_hard_people() -> None:
    plan = plan_of("""
        id = "before"; exercise = "candidates"; present = 5; absent = 5; size = 3; reveal_scores = false; \
            equated = "l"; occasion = "pre"
        id = "after"; exercise = "candidates"; present = 5; absent = 5; size = 3; reveal_scores = false; \
            equated = "l"; occasion = "post"
    """)
    made = made_course(plan, made_pool(200, 120), 1)
    assert {name: len(form.items) for name, form in made.forms.items()} == {"l-a": 10, "l-b": 10}
    assert len(set(shown_people(made))) == len(shown_people(made))
    means = [form.difficulty.mean for form in made.forms.values() if form.difficulty]
    assert abs(means[0] - means[1]) < 0.5
    assert needs(plan).people == len(shown_people(made)) == 2 * (5 * 3 + 5 * 4)


def test_whoever_is_in_a_test_of_lists_is_in_no_other_form() -> None:
    made = made_course(
        """
        id = "before"; exercise = "candidates"; present = 3; absent = 3; size = 4; reveal_scores = false; \
            equated = "l"; occasion = "pre"
        id = "after"; exercise = "candidates"; present = 3; absent = 3; size = 4; reveal_scores = false; \
            equated = "l"; occasion = "post"
        id = "lists"; exercise = "candidates"; present = 3; absent = 3; size = 4
        id = "more"; exercise = "candidates"; present = 3; absent = 3; size = 4
        id = "pairs"; exercise = "verification"; same = 5; different = 5
        id = "own"; exercise = "own_probe"; trials = 1; size = 4
        """,
        made_pool(160, 80),
    )
    people = {name: {one for item in form.items for one in item.people} for name, form in made.forms.items()}
    tested = [one for name in ("l-a", "l-b") for item in made.forms[name].items for one in item.people]
    assert len(set(tested)) == len(tested)
    others = set().union(*(found for name, found in people.items() if name not in ("l-a", "l-b")))
    assert others.isdisjoint(tested)
    assert set(made.gallery).isdisjoint(tested)
    assert people["lists"] & people["more"]  # foils of other lists come again


def test_the_store_keeps_what_a_course_learned_and_reads_courses_of_before() -> None:
    points = OperatingPoints(0.3, None)
    course = replace(small_course(), learned_from=("ab",), learned_items=3, quarantined_items=2, machine=points)
    packed = pack_course(course)
    assert unpack_course(course.course_id, packed) == course
    raw: Mapping[str, object] = json.loads(packed)
    earlier = json.dumps({name: value for name, value in raw.items() if name not in ("learned", "machine")}).encode()
    found = unpack_course(course.course_id, earlier)
    assert (found.learned_from, found.learned_items, found.quarantined_items) == ((), 0, 0)
    assert found.machine == OperatingPoints()
    assert found.forms == course.forms


def faces_of(pool: Pool, ceiling: float = np.inf) -> Faces:
    first = np.stack([one.photos[0].embedding for one in pool.people])
    second = np.stack([one.photos[-1].embedding for one in pool.people])
    return Faces(first, second, traits_of(pool.people), ceiling)


def test_difficulties_have_mean_0_and_sd_1_and_the_sign_of_their_class() -> None:
    values = np.array([0.1, 0.4, 0.5, 0.9])
    signs: tuple[Sign, ...] = (-1, 1)
    for sign in signs:
        b = scale_of(values, sign).of(values)
        assert b == pytest.approx(sign * (values - values.mean()) / values.std(), abs=5e-4)
        assert (b.mean(), b.std()) == pytest.approx((0.0, 1.0), abs=1e-3)
    for same in ([], [0.3], [0.3, 0.3]):
        assert scale_of(np.array(same), 1).b(0.7) == 0.0


def test_nearest_impostors_are_those_of_a_plain_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = made_pool(40, 25)
    faces = faces_of(pool)
    monkeypatch.setattr(impostors, "_BLOCK_CELLS", 70)  # several rows a block, and a last one that is not full
    rows, columns = np.arange(3, 40), np.arange(1, 40, 2)
    lost = faces.traits.unlike(np.arange(40), np.arange(40))
    assert lost is not None
    for either in (False, True):
        found = nearest(faces, rows, columns, 5, either=either)
        similarity = faces.first @ faces.second.T
        if either:
            similarity = np.maximum(similarity, similarity.T)
        for row, people, scores in zip(rows, found.people, found.score, strict=True):
            others = [column for column in columns if column != row]
            wanted = sorted(others, key=lambda column: lost[row, column] - similarity[row, column])[:5]
            assert people.tolist() == wanted
            assert scores == pytest.approx((similarity - lost)[row, wanted], abs=1e-5)


def test_nobody_needs_a_table_of_all_people_with_all() -> None:
    faces, everybody = faces_of(made_pool(5_749, 0, size=8)), np.arange(5_749)  # as many as LFW has
    tracemalloc.start()
    try:
        nearest(faces, everybody, everybody, either=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 5_749**2


def test_people_who_are_perhaps_one_come_last() -> None:
    faces = faces_of(made_pool(30, 30, labelled=False), ceiling=0.3)
    everybody = np.arange(30)
    found = nearest(faces, everybody, everybody, 29)  # all but the person
    similarity = faces.first @ faces.second.T
    doubtful = np.take_along_axis(np.maximum(similarity, similarity.T) >= 0.3, found.people, axis=1)
    assert doubtful.any()
    assert (np.diff(doubtful.astype(int), axis=1) >= 0).all()
    assert (found.score[doubtful] < -2.0).all()


def test_pairs_are_of_near_impostors_and_everybody_gets_one() -> None:
    pool = made_pool(200, 0)
    faces = faces_of(pool)
    everybody = np.arange(200)
    known = nearest(faces, everybody, everybody)
    pairs = paired(faces, everybody, 20, known)
    assert all(pair.score > -1.0 for pair in pairs)
    assert 30 < len(pairs) <= 50  # for a choice, the harder half of at most a hundred
    random = np.mean(faces.first[:100] @ faces.second[100:].T)
    assert np.mean([pair.score for pair in pairs]) > random + 0.3
    faces = faces_of(made_pool(60, 0))
    people, others = np.arange(0, 60, 2), np.arange(1, 60, 2)
    found = assigned(faces, people, others)
    assert sorted(pair.a for pair in found) == people.tolist()
    assert sorted(pair.b for pair in found) == others.tolist()


def shown_of(pool: Pool) -> set[int]:
    """The numbers of the two photos of person 0 that are shown."""
    prepared = prepare(without_shared_photos(pool))
    index = [one.number for one in prepared.people].index(0)
    return {prepared.first[index].number, prepared.second[index].number}


def test_the_pair_of_many_photos_is_the_least_similar_that_is_no_stranger() -> None:
    pool = made_pool(30, 30, size=64)
    stranger = made_pool(1, 0, seed=77, size=64, first=500).people[0].photos[0]
    opposite = -np.sum([photo.embedding for photo in pool.people[0].photos], axis=0)
    vector = (opposite / np.linalg.norm(opposite)).astype(np.float32)
    vector.setflags(write=False)
    wrong = type(stranger)(900, stranger.sha256, vector, 0.0, 1.0)
    person = pool.people[0]
    mixed = PoolPerson(person.number, (*person.photos, wrong), person.labels)
    assert shown_of(Pool((mixed, *pool.people[1:]), pool.model)) == {photo.number for photo in person.photos}


def test_the_hardest_of_a_persons_first_photos_are_shown() -> None:
    pool = made_pool(40, 40)
    centre, *strange = (person.photos[0].embedding for person in pool.people[:5])
    vectors = [unit(centre + share * other) for share, other in zip((0.0, 0.1, 0.2, 0.9), strange, strict=True)]
    photos = tuple(
        replace(pool.people[0].photos[0], number=900 + turn, sha256=f"{turn}" * 64, embedding=vector)
        for turn, vector in enumerate(vectors)
    )
    hardest = min(combinations(range(4), 2), key=lambda pair: float(vectors[pair[0]] @ vectors[pair[1]]))
    assert 3 in hardest
    assert shown_of(replace(pool, people=(PoolPerson(0, photos), *pool.people[1:]))) == {900 + n for n in hardest}


def test_items_come_from_every_quantile_and_tuples_are_close_neighbours() -> None:
    rng = np.random.default_rng(3)
    b = rng.normal(size=100)
    tuples = spread(b, 10, 2, rng)
    ranks = np.argsort(np.argsort(b))[tuples]
    assert len(np.unique(tuples)) == 20
    assert (ranks // 10 == np.arange(10)[:, None]).all()
    assert (np.abs(np.diff(ranks, axis=1)) == 1).all()
    b = np.sort(np.random.default_rng(3).exponential(size=60))
    closest = np.median(np.diff(b[40:]))
    for seed in range(20):
        last = b[spread(b, 3, 2, np.random.default_rng(seed))[2]]
        assert abs(last[0] - last[1]) <= closest


def test_the_best_of_several_deals_is_kept() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        b = np.sort(rng.normal(size=10)).reshape(5, 2)
        halves = (
            abs(b.ravel()[list(half)].mean() - np.delete(b.ravel(), half).mean()) for half in combinations(range(10), 5)
        )
        (dealt,) = equated([b], rng)
        found = differences([[b.ravel()[dealt[:, 0]]], [b.ravel()[dealt[:, 1]]]])["0"]
        assert found.mean < max(MEAN_TOLERANCE, 2 * min(halves))


def test_differences_are_the_greatest_of_all_forms() -> None:
    forms = [[np.array([0.0, 2.0])], [np.array([1.0, 1.0])], [np.array([2.0, 3.0])]]
    assert differences(forms)["0"] == Differences(mean=1.5, sd=1.0)
    assert differences(forms[:1]) == {}
    assert differences([[np.empty(0)], [np.empty(0)]]) == {}
    assert Differences(0.049, 0.099).strain < 1.0
    assert Differences(0.05, 0.0).strain == Differences(0.0, 0.1).strain == 1.0
