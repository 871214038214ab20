"""Strangers that are drawn like people."""

from __future__ import annotations

import numpy as np
import pytest

from fr_evaluation.identification.searches import BLOCK, F32, F64, Strangers

D = 16


def people(count: int, seed: int = 1) -> F32:
    """f32[count, D]: unit vectors around a mean, along some axes more than along others."""
    chance = np.random.default_rng(seed)
    drawn = chance.standard_normal((count, D)) * np.linspace(0.2, 2.0, D) + 0.3
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def between(a: F32, b: F32) -> F64:
    return (a @ b.T).astype(np.float64)


def all_of(strangers: Strangers, count: int) -> F32:
    return np.concatenate(list(strangers.blocks(count)))


def test_they_are_unit_vectors_the_same_each_time_and_others_for_another_seed() -> None:
    drawn = all_of(Strangers(people(200), 1), BLOCK + 10)
    assert drawn.shape == (BLOCK + 10, D)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (all_of(Strangers(people(200), 1), BLOCK + 10) == drawn).all()
    assert all_of(Strangers(people(200), 1), 10) == pytest.approx(
        drawn[:10], abs=1e-5
    )  # the smaller sum rounds otherwise
    assert not (all_of(Strangers(people(200), 2), 10) == drawn[:10]).all()


@pytest.mark.parametrize("count", [12, 60, 800])  # fewer than there are directions, and many more
def test_they_are_as_alike_to_people_as_people_are(count: int) -> None:
    real = people(count)
    strangers = Strangers(real, 1)
    off = ~np.eye(count, dtype=np.bool_)
    square = float((between(real, real)[off] ** 2).mean())
    assert float((between(real, all_of(strangers, 4000)) ** 2).mean()) == pytest.approx(square, rel=0.15)
    uniform = 1 / D
    assert abs(square - uniform) > 0.3 * uniform  # which uniform ones would not be
    assert 0.0 <= strangers.shrinkage <= 1.0


def test_few_people_have_few_directions_and_are_drawn_towards_a_sphere() -> None:
    shrinkages = [Strangers(people(count), 1).shrinkage for count in (8, 40, 800)]
    assert shrinkages == sorted(shrinkages, reverse=True)
    assert Strangers(people(1), 1).shrinkage == 1.0


def test_the_likeness_is_the_share_that_reaches_the_threshold_of_a_share_of_real_ones() -> None:
    real = people(200)
    strangers = Strangers(real, 1)
    pairs = between(real, real)[np.triu_indices(200, 1)]
    shown = strangers.likeness()
    assert [(one.real, one.count) for one in shown] == [(1e-2, 199), (1e-3, 19), (1e-4, 1)]
    for one in shown:
        assert (pairs >= one.threshold).sum() == int(one.real * len(pairs))
        drawn = float((between(real, all_of(strangers, BLOCK)) >= one.threshold).mean())
        assert one.drawn == pytest.approx(drawn)
    assert [one.real for one in Strangers(people(20), 1).likeness()] == [1e-2]
    assert Strangers(people(1), 1).likeness() == ()
