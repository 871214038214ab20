"""Forms by property: whatever the plan and the pool, nobody is shown twice, and the same input gives the same forms."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_training.answers import Usability
from fr_training.bank.compose import Composed
from fr_training.bank.difficulty import differences, equated, spread
from fr_training.bank.needs import needs
from fr_training.bank.pool import Pool
from fr_training.errors import TooFewPeople
from fr_training.keys import ListKey, PairKey, TriageKey
from fr_training.plan import CoursePlan
from support.counts import examples
from support.people import made_course, made_pool, plan_of, require_foils_may_be_there

few = st.integers(0, 4)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def plans(draw: st.DrawFn) -> CoursePlan:
    """Plans of several of the exercises, with at least one item in each block."""
    blocks = []
    if draw(st.booleans()):
        pair = f'exercise = "verification"; same = {draw(few)}; different = {1 + draw(few)}; equated = "test"'
        blocks += [f'id = "t-{one}"; {pair}; occasion = "{one}"' for one in ("pre", "post", "retention")]
    if draw(st.booleans()):
        triads = f'exercise = "triad"; trials = {1 + draw(few)}; equated = "odd"'
        blocks += [f'id = "o-{one}"; {triads}; occasion = "{one}"' for one in ("pre", "post")]
    if draw(st.booleans()):
        blocks.append(f'id = "solo"; exercise = "triad"; trials = {1 + draw(few)}')
    if draw(st.booleans()):
        counts = f"present = {draw(few)}; absent = {1 + draw(few)}; size = {1 + draw(few)}"
        blocks.append(f'id = "lists"; exercise = "candidates"; {counts}')
    if draw(st.booleans()):
        counts = f"usable = {draw(few)}; limited = {draw(few)}; reject = {1 + draw(few)}"
        blocks.append(f'id = "look"; exercise = "triage"; {counts}')
    if draw(st.booleans()):
        blocks.append(f'id = "own"; exercise = "own_probe"; trials = 1; size = {1 + draw(few)}')
    if not blocks or draw(st.booleans()):
        same, different = draw(few), 1 + draw(few)
        wrong = draw(st.integers(0, same + different))
        blocks.append(f'id = "aid"; exercise = "aided"; same = {same}; different = {different}; wrong = {wrong}')
    return plan_of("\n".join(draw(st.permutations(blocks))))


def numbers(made: Composed) -> dict[str, str]:
    return {name: form.manifest_sha256 for name, form in made.forms.items()} | {"": made.manifest_sha256}


def reordered(pool: Pool, rng: np.random.Generator) -> Pool:
    people = [pool.people[index] for index in rng.permutation(len(pool.people))]
    renumbered = [
        replace(
            person,
            number=9_000 - number,
            photos=tuple(replace(photo, number=50_000 - 7 * number - turn) for turn, photo in enumerate(person.photos)),
        )
        for number, person in enumerate(people)
    ]
    return replace(pool, people=tuple(renumbered))


@given(plans(), st.integers(0, 3), st.integers(0, 12), seeds)
@settings(max_examples=examples(50))
def test_as_many_people_as_are_needed_are_enough(plan: CoursePlan, more: int, more_with_two: int, seed: int) -> None:
    wanted = needs(plan)
    people = wanted.people + more
    two = min(people, wanted.people_with_two_photos + more_with_two)
    pool = made_pool(people, two, seed=seed % 5, size=8, labelled=False)
    made = made_course(plan, pool, seed)
    require_foils_may_be_there(made, plan)
    assert set(made.forms) == set(plan.forms())
    for name, block in plan.forms().items():
        keys = [item.key for item in made.forms[name].items]
        assert len(keys) == block.items
        assert sum(isinstance(key, PairKey) and key.mated for key in keys) == block.same
        assert sum(isinstance(key, ListKey) and key.mate is not None for key in keys) == block.present
        triage = Counter(key.usability for key in keys if isinstance(key, TriageKey))
        assert triage == Counter({one: count for one in Usability if (count := getattr(block, one))})
        assert all(len(key.similarities) == block.size for key in keys if isinstance(key, ListKey))
        misled = [key for key in keys if isinstance(key, PairKey) and key.advice_same not in (None, key.mated)]
        assert len(misled) == block.wrong
        assert sum(key.mated for key in misled) in range(
            block.wrong - block.different if block.same < block.different else 0, block.same + 1
        )
    ids = [item.item_id for form in made.forms.values() for item in form.items]
    assert len(set(ids)) == len(ids)
    assert {number for form in made.forms.values() for item in form.items for number in item.photos} <= set(
        range(len(made.pictures))
    )


@given(plans(), seeds)
@settings(max_examples=examples(20))
def test_one_person_fewer_is_too_few(plan: CoursePlan, seed: int) -> None:
    wanted = needs(plan)
    two = wanted.people_with_two_photos
    with pytest.raises(TooFewPeople):
        made_course(plan, made_pool(wanted.people - 1, max(0, wanted.people - 1), size=8), seed)
    if two:
        with pytest.raises(TooFewPeople):
            made_course(plan, made_pool(wanted.people + 9, two - 1, size=8), seed)


@given(plans(), seeds, st.integers(0, 9))
@settings(max_examples=examples(20))
def test_forms_depend_on_the_photos_and_the_seed_alone(plan: CoursePlan, seed: int, order: int) -> None:
    wanted = needs(plan)
    pool = made_pool(wanted.people + 7, wanted.people_with_two_photos + 4, seed=order, size=8, labelled=False)
    made = made_course(plan, pool, seed)
    assert made_course(plan, pool, seed) == made
    again = made_course(plan, reordered(pool, np.random.default_rng(order)), seed)
    assert numbers(again) == numbers(made)
    assert numbers(made_course(plan, pool, seed + 1)) != numbers(made)


@given(st.lists(st.floats(-3, 3), min_size=8, max_size=60), st.integers(1, 4), seeds)
def test_tuples_are_disjoint_and_dealing_keeps_every_item(b: list[float], forms: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, count = np.array(b), len(b) // (2 * forms)
    tuples = spread(values, count, forms, rng)
    assert len(np.unique(tuples)) == count * forms
    table = values[tuples]
    (dealt,) = equated([table], rng)
    assert sorted(dealt.ravel().tolist()) == list(range(count * forms))
    before = differences([[table[:, form]] for form in range(forms)])
    after = differences([[table.ravel()[dealt[:, form]]] for form in range(forms)])
    if before and before["0"].strain < 1.0:
        assert after["0"].mean < 0.05


@given(st.integers(10, 14), st.integers(2, 3), seeds)
@settings(max_examples=examples(40))
def test_tests_of_ten_items_of_a_pool_with_some_to_spare_are_equally_hard(count: int, forms: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = rng.normal(size=count * forms + 12)
    table = b[spread(b, count, forms, rng)]
    (dealt,) = equated([table], rng)
    found = differences([[table.ravel()[dealt[:, form]]] for form in range(forms)])["0"]
    assert found.strain < 1.0, found
