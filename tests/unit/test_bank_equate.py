"""Difficulty, nearest impostors, and forms that are equally hard."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from fr_training.bank import impostors
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
from fr_training.bank.labels import traits_of
from fr_training.bank.pool import Pool, PoolPerson, without_shared_photos
from fr_training.bank.prepared import prepare
from support.people import made_pool, unit


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


@pytest.mark.parametrize("values", [[], [0.3], [0.3, 0.3]])
def test_where_items_do_not_differ_all_are_of_mean_difficulty(values: list[float]) -> None:
    assert scale_of(np.array(values), 1).b(0.7) == 0.0


def test_answers_move_a_difficulty() -> None:
    assert updated(1.0, 0.0, 0) == 1.0
    assert updated(1.0, 0.0, 10) == 0.5
    assert updated(1.0, -2.0, 30) == -1.25


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


@pytest.mark.parametrize(("people", "count"), [(2, 1), (3, 1), (40, 20), (41, 20), (41, 3), (200, 7)])
def test_pairs_share_nobody_and_are_as_many_as_wanted(people: int, count: int) -> None:
    faces = faces_of(made_pool(people, 0))
    everybody = np.arange(people)
    pairs = paired(faces, everybody, count, nearest(faces, everybody, everybody))
    shown = [person for pair in pairs for person in (pair.a, pair.b)]
    assert len(pairs) >= count
    assert len(set(shown)) == len(shown)


def test_pairs_are_of_near_impostors_of_one_sex_and_age_where_there_are_enough() -> None:
    pool = made_pool(200, 0)
    faces = faces_of(pool)
    everybody = np.arange(200)
    known = nearest(faces, everybody, everybody)
    pairs = paired(faces, everybody, 20, known)
    assert all(pair.score > -1.0 for pair in pairs)
    assert 30 < len(pairs) <= 50  # for a choice, the harder half of at most a hundred
    random = np.mean(faces.first[:100] @ faces.second[100:].T)
    assert np.mean([pair.score for pair in pairs]) > random + 0.3
    with pytest.raises(ValueError, match="need 202 people"):
        paired(faces, everybody, 101, known)


def test_everybody_gets_an_impostor_of_their_own() -> None:
    faces = faces_of(made_pool(60, 0))
    people, others = np.arange(0, 60, 2), np.arange(1, 60, 2)
    found = assigned(faces, people, others)
    assert sorted(pair.a for pair in found) == people.tolist()
    assert sorted(pair.b for pair in found) == others.tolist()
    with pytest.raises(ValueError, match="their own impostor"):
        assigned(faces, people, np.arange(60))
    with pytest.raises(ValueError, match="as many impostors"):
        assigned(faces, people, others[1:])


def test_the_pair_of_many_photos_is_the_least_similar_that_is_no_stranger() -> None:
    pool = made_pool(30, 30, size=64)
    stranger = made_pool(1, 0, seed=77, size=64, first=500).people[0].photos[0]
    opposite = -np.sum([photo.embedding for photo in pool.people[0].photos], axis=0)
    vector = (opposite / np.linalg.norm(opposite)).astype(np.float32)
    vector.setflags(write=False)
    wrong = type(stranger)(900, stranger.sha256, vector, 0.0, 1.0)
    person = pool.people[0]
    mixed = PoolPerson(person.number, (*person.photos, wrong), person.labels)
    prepared = prepare(without_shared_photos(Pool((mixed, *pool.people[1:]), pool.model)))
    index = [one.number for one in prepared.people].index(person.number)
    assert {prepared.first[index].number, prepared.second[index].number} == {photo.number for photo in person.photos}


def test_the_hardest_of_a_persons_first_photos_are_shown() -> None:
    pool = made_pool(40, 40)
    centre, *strange = (person.photos[0].embedding for person in pool.people[:5])
    vectors = [unit(centre + share * other) for share, other in zip((0.0, 0.1, 0.2, 0.9), strange, strict=True)]
    photos = tuple(
        replace(pool.people[0].photos[0], number=900 + turn, sha256=f"{turn}" * 64, embedding=vector)
        for turn, vector in enumerate(vectors)
    )
    prepared = prepare(without_shared_photos(replace(pool, people=(PoolPerson(0, photos), *pool.people[1:]))))
    index = [one.number for one in prepared.people].index(0)
    hardest = min(combinations(range(4), 2), key=lambda pair: float(vectors[pair[0]] @ vectors[pair[1]]))
    assert (prepared.first[index].number - 900, prepared.second[index].number - 900) == hardest
    assert 3 in hardest


def test_items_come_from_every_quantile_and_tuples_are_neighbours() -> None:
    rng = np.random.default_rng(3)
    b = rng.normal(size=100)
    tuples = spread(b, 10, 2, rng)
    ranks = np.argsort(np.argsort(b))[tuples]
    assert len(np.unique(tuples)) == 20
    assert (ranks // 10 == np.arange(10)[:, None]).all()
    assert (np.abs(np.diff(ranks, axis=1)) == 1).all()
    with pytest.raises(ValueError, match="need 102 items"):
        spread(b, 51, 2, rng)


def test_tuples_are_of_the_closer_half_of_their_quantile() -> None:
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


def test_forms_are_as_close_as_tests_need_though_items_are_few() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        b = np.sort(rng.normal(size=12)).reshape(6, 2)
        best = min(
            abs(b.ravel()[list(half)].mean() - np.delete(b.ravel(), half).mean()) for half in combinations(range(12), 6)
        )
        (dealt,) = equated([b], rng)
        assert sorted(dealt.ravel().tolist()) == list(range(12))
        found = differences([[b.ravel()[dealt[:, 0]]], [b.ravel()[dealt[:, 1]]]])["0"]
        assert found.mean < MEAN_TOLERANCE or found.mean == pytest.approx(best)


def test_three_forms_of_two_classes_are_equated_each_and_together() -> None:
    rng = np.random.default_rng(4)
    classes = [rng.normal(size=(10, 3)), rng.normal(1.0, 0.5, size=(12, 3)), np.empty((0, 3))]
    dealt = equated(classes, rng)
    forms = [[table.ravel()[flat[:, form]] for table, flat in zip(classes, dealt, strict=True)] for form in range(3)]
    found = differences(forms)
    assert set(found) == {"0", "1", "all"}
    assert all(one.strain < 1.0 for one in found.values())


def test_differences_are_the_greatest_of_all_forms() -> None:
    forms = [[np.array([0.0, 2.0])], [np.array([1.0, 1.0])], [np.array([2.0, 3.0])]]
    assert differences(forms)["0"] == Differences(mean=1.5, sd=1.0)
    assert differences(forms[:1]) == {}
    assert differences([[np.empty(0)], [np.empty(0)]]) == {}
    assert Differences(0.049, 0.099).strain < 1.0
    assert Differences(0.05, 0.0).strain == Differences(0.0, 0.1).strain == 1.0
