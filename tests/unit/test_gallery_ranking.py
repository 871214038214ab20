"""Fusion of the similarities of a subject's templates, against a plain computation of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.gallery.query import ScoreFusion
from fr_core.gallery.search.ranking import by_best_template, fused
from fr_core.gallery.search.sharing import Nearest
from fr_core.types import F32


def unit(rows: F32) -> F32:
    units: F32 = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units


def plainly(fusion: ScoreFusion, probe: F32, vectors: F32) -> float:
    similarities: list[float] = sorted((vectors.astype(np.float64) @ probe.astype(np.float64)).tolist(), reverse=True)
    if fusion is ScoreFusion.MAX:
        return similarities[0]
    if fusion is ScoreFusion.MEAN_TOP_2:
        return sum(similarities[:2]) / len(similarities[:2])
    mean = vectors.astype(np.float64).mean(axis=0)
    return float(mean @ probe.astype(np.float64) / np.linalg.norm(mean))


@pytest.mark.parametrize("fusion", list(ScoreFusion))
@given(owners=st.lists(st.integers(1, 6), min_size=1, max_size=24), seed=st.integers(0, 2**32 - 1))
def test_each_subject_gets_the_score_of_the_plain_computation(
    fusion: ScoreFusion, owners: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng.standard_normal((len(owners), 8), np.float32))
    probe = unit(rng.standard_normal((1, 8), np.float32))[0]
    subject_nos, template_ids = np.array(owners), np.arange(100, 100 + len(owners))
    ranked = fused(fusion, probe, subject_nos, template_ids, vectors, True)
    assert sorted(ranked.subject_nos.tolist()) == sorted(set(owners))
    assert (np.diff(ranked.similarities) <= 0).all()
    for subject_no, template_id, score in zip(
        ranked.subject_nos, ranked.template_ids, ranked.similarities, strict=True
    ):
        own = subject_nos == subject_no
        assert score == pytest.approx(plainly(fusion, probe, vectors[own]), abs=1e-12)
        assert template_id == template_ids[own][np.argmax(vectors[own].astype(np.float64) @ probe)]


def test_a_mean_of_the_best_two_is_not_the_best() -> None:
    """Worked by hand: subject 1 has .9 and .1, subject 2 has .8 and .6; the best of 1 leads, the mean of 2 does."""
    scores = np.array([0.9, 0.1, 0.8, 0.6])
    vectors = np.stack([scores, np.sqrt(1 - scores**2)], axis=1).astype(np.float32)
    probe, owners, ids = np.array([1, 0], np.float32), np.array([1, 1, 2, 2]), np.array([10, 11, 12, 13])
    assert fused(ScoreFusion.MAX, probe, owners, ids, vectors, True).subject_nos.tolist() == [1, 2]
    two = fused(ScoreFusion.MEAN_TOP_2, probe, owners, ids, vectors, True)
    assert two.subject_nos.tolist() == [2, 1]
    assert two.similarities.tolist() == pytest.approx([0.7, 0.5], abs=1e-7)


def test_equal_scores_are_in_the_order_of_the_template_ids() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    for fusion in ScoreFusion:
        ranked = fused(fusion, vectors[0], np.array([3, 2, 1]), np.array([5, 9, 7]), vectors, True)
        assert ranked.template_ids.tolist() == [5, 7, 9]


def test_templates_that_cancel_out_have_no_mean() -> None:
    vectors = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    ranked = fused(ScoreFusion.MEAN_TEMPLATE, vectors[2], np.array([1, 1, 2]), np.array([1, 2, 3]), vectors, True)
    assert ranked.subject_nos.tolist() == [2]


def test_no_template_no_subject() -> None:
    none = np.empty(0, np.int64)
    for fusion in ScoreFusion:
        ranked = fused(fusion, np.array([1, 0], np.float32), none, none, np.empty((0, 2), np.float32), True)
        assert not len(ranked.subject_nos)


def test_the_best_template_stands_for_its_subject() -> None:
    found = Nearest(np.array([1, 2, 3, 4]), np.array([0.9, 0.8, 0.7, 0.6]), exhaustive=False)
    ranked = by_best_template(np.array([7, 8, 7, 9]), found)
    assert not ranked.exhaustive
    assert ranked.subject_nos.tolist() == [7, 8, 9]
    assert ranked.template_ids.tolist() == [1, 2, 4]
    assert ranked.first(1).similarities.tolist() == [0.9]
