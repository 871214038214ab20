"""Clues beside the faces, the forecast of how hard forms are, and lists that come first: with made-up people."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fr_core.types import frozen_array
from fr_locales.rendering import render
from fr_training.bank.clues import CLUES, areas, between, least_of, least_telling, told
from fr_training.bank.compose import Composed, compose
from fr_training.bank.forecast import CLEAR, FAIR, Reference, forecasts, sentence_of, warnings_of
from fr_training.bank.manifest import Shown
from fr_training.bank.pool import Looks, Pool, without_shared_photos
from fr_training.bank.prepared import prepare
from fr_training.courses import Forecast, Item, Learned
from fr_training.errors import TooFewPeople
from fr_training.keys import ListKey, PairKey
from fr_training.plan import CoursePlan
from support.people import ExactMatcher, made_course, made_pool, plan_of, require_foils_may_be_there

PAIRS = plan_of('id = "pairs"; exercise = "verification"; same = 15; different = 15')
LISTS = plan_of("""
    id = "pre"; exercise = "verification"; same = 5; different = 10; equated = "test"; occasion = "pre"
    id = "lists"; exercise = "candidates"; present = 3; absent = 3; size = 5
    id = "longer"; exercise = "candidates"; present = 2; absent = 2; size = 12
    id = "triage"; exercise = "triage"; usable = 2; limited = 2; reject = 2
    id = "post"; exercise = "verification"; same = 5; different = 10; equated = "test"; occasion = "post"
""")


def looking(pool: Pool, alike: float, seed: int = 0) -> Pool:
    """The pool with looks; the greater `alike`, the more two photos of one person look alike in pixels and colour."""
    rng = np.random.default_rng(seed)
    people = []
    for person in pool.people:
        own = rng.normal(size=102)
        photos = []
        for photo in person.photos:
            seen = alike * own + rng.normal(size=102)
            pixels = [values - values.mean() for values in np.split(seen[:96], 3)]
            face, inside, head = (frozen_array((one / np.linalg.norm(one)).astype(np.float32)) for one in pixels)
            colours = frozen_array((128 + 20 * seen[96:]).reshape(2, 3).astype(np.float32))
            photos.append(replace(photo, looks=Looks((face, inside, head), colours)))
        people.append(replace(person, photos=tuple(photos)))
    return replace(pool, people=tuple(people))


def areas_of(made: Composed, form: str) -> tuple[float, ...]:
    rows: dict[bool, list[tuple[float, ...]]] = {True: [], False: []}
    for item in made.forms[form].items:
        assert isinstance(item.key, PairKey)
        rows[item.key.mated].append(between(*(made.pictures[number].photo.looks for number in item.photos)))
    return areas(np.array(rows[True]), np.array(rows[False]))


def blind(pool: Pool) -> Pool:
    """The pool without looks."""
    people = (
        replace(person, photos=tuple(replace(photo, looks=None) for photo in person.photos)) for person in pool.people
    )
    return replace(pool, people=tuple(people))


def test_pairs_are_those_of_which_pixels_and_colours_tell_least() -> None:
    pool = looking(made_pool(400, 300), 0.5)
    looks = {photo.number: photo.looks for person in pool.people for photo in person.photos}

    def told_by(made: Composed) -> tuple[float, ...]:
        pictures = tuple(replace(one, photo=replace(one.photo, looks=looks[one.photo.number])) for one in made.pictures)
        return areas_of(replace(made, pictures=pictures), "pairs")

    for seed in range(3):
        without, found = (told_by(made_course(PAIRS, one, seed)) for one in (blind(pool), pool))
        assert max(without) > FAIR  # the control: chosen by similarity alone
        assert max(found) <= FAIR
        assert len(found) == CLUES


def test_forms_of_poorer_photos_are_dealt_by_what_they_show() -> None:
    pairs = 'exercise = "verification"; same = 10; different = 10; light = 0.6; equated = "test"'
    plan = plan_of(f'id = "one"; {pairs}; occasion = "pre"\nid = "two"; {pairs}; occasion = "post"')
    pool = blind(made_pool(200, 100))
    looks = [(photo.number, photo.looks) for person in looking(pool, 0.5).people for photo in person.photos]
    shown = {number: one for number, one in looks if one is not None}

    def seen(wanted: Sequence[Shown]) -> list[Looks]:
        return [shown[one.photo.number] for one in wanted]

    def told_most(made: Composed) -> float:
        pictures = tuple(replace(one, photo=replace(one.photo, looks=shown[one.photo.number])) for one in made.pictures)
        return max(max(areas_of(replace(made, pictures=pictures), name)) for name in made.forms)

    for seed in range(2):
        found, control = (compose(plan, pool, seed, ExactMatcher(), seen=one) for one in (seen, None))
        assert told_most(found) < told_most(control) - 0.02
        assert items_of(found) == items_of(control)


def items_of(made: Composed) -> set[str]:
    return {item.item_id for form in made.forms.values() for item in form.items}


def test_clues_that_no_choice_can_hide_are_left_and_nobody_is_left_without_a_pair() -> None:
    pool = looking(made_pool(120, 60), 5.0)
    made = made_course(PAIRS, pool, 1)
    assert max(areas_of(made, "pairs")) > CLEAR
    assert len(made.forms["pairs"].items) == 30


def test_what_is_not_known_tells_nothing() -> None:
    nothing, some = np.full((4, CLUES), np.nan), np.arange(4.0 * CLUES).reshape(4, CLUES)
    assert areas(nothing, some) == ()
    assert told(nothing, some) == 0.0
    assert told(some + 99.0, some) == 0.5
    assert told(some, some + 99.0) == 0.4  # the other way round it misleads
    assert told(some, some) == 0.0
    assert least_telling(nothing, some, 2, of_mated=True).tolist() == [0, 1, 2, 3]
    assert least_telling(some, some + 99.0, 2, of_mated=True).tolist() == [0, 1, 2, 3]  # which speaks for two people
    assert least_telling(some + 99.0, some, 2, of_mated=True).tolist() == [0, 1]
    assert least_telling(some + 99.0, some, 2, of_mated=False).tolist() == [2, 3]


def test_the_first_draw_that_tells_little_is_taken_or_the_least_of_all() -> None:
    draws = iter([0.4, 0.05, 0.0])
    assert least_of(lambda: next(draws), lambda drawn: drawn) == 0.05
    worse = iter([0.4, 0.2, *[0.3] * 62])
    assert least_of(lambda: next(worse), lambda drawn: drawn) == 0.2


def test_two_photos_of_one_session_are_no_pair() -> None:
    pool = made_pool(60, 60)
    people = [
        replace(person, photos=tuple(replace(photo, session="monday") for photo in person.photos)) if n < 25 else person
        for n, person in enumerate(pool.people)
    ]
    prepared = prepare(without_shared_photos(replace(pool, people=tuple(people))))
    assert prepared.two.sum() == 35
    plan = plan_of('id = "pairs"; exercise = "verification"; same = 30; different = 5')
    for item in made_course(plan, replace(pool, people=tuple(people)), 1).forms["pairs"].items:
        assert isinstance(item.key, PairKey)
        assert not item.key.mated or item.people[0] >= 25
    with pytest.raises(TooFewPeople):
        made_course(
            'id = "p"; exercise = "verification"; same = 36; different = 1', replace(pool, people=tuple(people))
        )
    apart = [
        replace(person, photos=tuple(replace(photo, session=f"{n}") for n, photo in enumerate(person.photos)))
        for person in pool.people
    ]
    assert prepare(without_shared_photos(replace(pool, people=tuple(apart)))).two.all()


def lists_of(made: Composed) -> list[Item]:
    return [item for form in made.forms.values() for item in form.items if isinstance(item.key, ListKey)]


def foil_similarity(made: Composed) -> float:
    keys = [item.key for item in lists_of(made) if isinstance(item.key, ListKey)]
    return float(np.mean([s for key in keys for place, s in enumerate(key.similarities) if place != key.mate]))


def test_foils_are_more_alike_than_in_lists_of_whoever_is_left_and_of_one_sex() -> None:
    pool = made_pool(300, 150)
    labels = {person.number: person.labels["gender"] for person in pool.people}
    for seed in range(3):
        made = made_course(LISTS, pool, seed)
        require_foils_may_be_there(made, LISTS)
        for item in lists_of(made):
            assert len({labels[person] for person in item.people}) == 1
        vectors = np.stack([person.photos[0].embedding for person in pool.people])
        assert foil_similarity(made) > float(np.mean(vectors @ vectors.T)) + 0.25


def test_lists_whose_foils_would_be_of_the_other_sex_are_refused() -> None:
    pool = made_pool(120, 20)
    people = [
        replace(person, labels={"gender": "female" if person.number in (0, 1, 2) else "male"}) for person in pool.people
    ]
    plan = plan_of('id = "l"; exercise = "candidates"; present = 20; absent = 0; size = 5')
    with pytest.raises(TooFewPeople, match="people of the sex of the person searched for") as refused:
        made_course(plan, replace(pool, people=tuple(people)), 1)
    assert int(refused.value.metadata["missing"]) >= 1
    few = plan_of('id = "l"; exercise = "candidates"; present = 5; absent = 5; size = 5')
    for item in lists_of(made_course(few, replace(pool, people=tuple(people)), 1)):
        assert not {0, 1, 2} & set(item.people)


def test_lists_of_one_sex_are_made_with_every_seed_where_people_of_each_sex_just_suffice() -> None:
    pool = made_pool(26, 26)  # 13 of each sex; lists show 24 people
    plan = plan_of('id = "l"; exercise = "candidates"; present = 4; absent = 3; size = 3')
    for seed in range(12):
        items = lists_of(made_course(plan, pool, seed))
        assert len(items) == 7
        assert {len({person % 2 for person in item.people}) for item in items} == {1}  # sexes take turns


def test_items_of_any_exercise_can_be_left_out_and_others_take_their_place() -> None:
    pool = made_pool(200, 100)
    before = made_course(LISTS, pool, 1)
    for form in before.forms.values():
        some = frozenset(item.item_id for item in form.items[:2])
        after = made_course(LISTS, pool, 1, Learned(suspects=some))
        assert some.isdisjoint(item.item_id for one in after.forms.values() for item in one.items)
        assert {name: len(one.items) for name, one in after.forms.items()} == {
            name: len(one.items) for name, one in before.forms.items()
        }
        require_foils_may_be_there(after, LISTS)


def test_as_few_people_as_are_needed_are_enough_for_lists_that_share_foils() -> None:
    plan = plan_of("""
        id = "a"; exercise = "candidates"; present = 2; absent = 2; size = 6
        id = "b"; exercise = "candidates"; present = 2; absent = 2; size = 6
        id = "pairs"; exercise = "verification"; same = 2; different = 8
    """)
    made = made_course(plan, made_pool(8 + 22, 6, labelled=False), 1)
    foils = [person for item in lists_of(made) for person in item.people[1:]]
    assert len(foils) == 44
    require_foils_may_be_there(made, plan)


def forecast_of(made: Composed, plan: CoursePlan, pool: Pool) -> dict[str, Forecast]:
    looks = {number: one.photo.looks for number, one in enumerate(made.pictures) if one.photo.looks is not None}
    sizes = dict.fromkeys(range(len(made.pictures)), 1.0)
    return {one.form: one for one in forecasts(plan, made.forms, looks, sizes, made.near)}


def test_a_forecast_warns_of_pairs_that_pixels_give_away_and_not_of_others() -> None:
    easy, fair = looking(made_pool(200, 100), 5.0), looking(made_pool(400, 300), 0.3)
    (of_easy,) = forecast_of(made_course(PAIRS, easy, 1), PAIRS, easy).values()
    (of_fair,) = forecast_of(made_course(PAIRS, fair, 1), PAIRS, fair).values()
    assert of_easy.pixels is not None
    assert of_fair.pixels is not None
    assert of_easy.pixels > CLEAR > FAIR >= of_fair.pixels
    assert of_easy.right.expected > of_fair.right.expected
    assert of_easy.right.high - of_easy.right.low > 0.05
    words = [render(one) for one in warnings_of(of_easy)]
    assert any("A comparison of pixels alone tells" in one and "Use `light`" in one for one in words)
    assert not any("pixels" in render(one) or "colour" in render(one) for one in warnings_of(of_fair))
    assert render(sentence_of(of_fair)).startswith("Of 100 answers, people are expected to get about ")


def test_forms_of_few_pairs_are_told_by_all_pairs_of_the_course() -> None:
    plan = plan_of("""
        id = "many"; exercise = "verification"; same = 12; different = 12
        id = "few"; exercise = "verification"; same = 2; different = 2
    """)
    pool = looking(made_pool(200, 100), 5.0)
    found = forecast_of(made_course(plan, pool, 1), plan, pool)
    assert (found["many"].of_all, found["few"].of_all) == (False, True)
    assert any("counted over all pairs" in render(one) for one in warnings_of(found["few"]))


def test_longer_lists_and_more_similar_people_are_expected_to_be_harder() -> None:
    near = Reference(0.0, 0.3)
    plan = plan_of("""
        id = "short"; exercise = "candidates"; present = 2; absent = 2; size = 3
        id = "long"; exercise = "candidates"; present = 2; absent = 2; size = 20
        id = "odd"; exercise = "triad"; trials = 4
    """)
    pool = made_pool(200, 100)
    made = made_course(plan, pool, 1)
    found = {one.form: one for one in forecasts(plan, made.forms, {}, dict.fromkeys(range(999), 2.44), near)}
    assert found["short"].right.expected > found["long"].right.expected + 0.1
    assert 1 / 3 < found["odd"].right.low < found["odd"].right.expected < found["odd"].right.high < 1.0
    assert found["long"].enlarged == 2.4
    assert any("enlarged up to 3 times" in render(one) for one in warnings_of(found["long"]))
    assert all(any("too few items" in render(text) for text in warnings_of(one)) for one in found.values())
    assert not any("too few items" in render(text) for text in warnings_of(replace(found["long"], few=False)))
    easy = replace(found["long"], similarity=0.05, of_pairs=0.25)
    assert any("These lists will look too easy" in render(one) for one in warnings_of(easy))
    assert not any("too easy" in render(one) for one in warnings_of(replace(easy, similarity=0.25)))


def test_pairs_with_all_around_the_head_are_chosen_by_all_that_is_shown() -> None:
    pool = made_pool(400, 300)
    around = {photo.number: photo.looks for person in looking(pool, 0.5).people for photo in person.photos}
    people = (
        replace(person, photos=tuple(replace(photo, bare=around[photo.number]) for photo in person.photos))
        for person in looking(pool, 0.0, seed=1).people
    )
    pool = replace(pool, people=tuple(people))
    told_by = {}
    for mask in ("head", "none"):
        made = made_course(replace(PAIRS, mask=mask), pool, 1)
        pictures = (replace(one, photo=replace(one.photo, looks=around[one.photo.number])) for one in made.pictures)
        told_by[mask] = max(areas_of(replace(made, pictures=tuple(pictures)), "pairs"))
    assert told_by["none"] <= 0.6 < told_by["head"] - 0.1
