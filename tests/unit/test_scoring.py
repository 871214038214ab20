"""Unit tests of scoring: every figure against a slow count, a published value, or an independent implementation."""

from __future__ import annotations

from importlib import import_module
from math import inf, nan, sqrt

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.scoring.intervals import UndefinedRate, rate, wilson_interval
from fr_core.scoring.verification import (
    best_threshold_accuracy,
    false_match_rate,
    false_non_match_rate,
    kfold_accuracy,
    operating_point,
    threshold_at_fmr,
)

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


def bools(text: str) -> Bools:
    """'+' is mated, '-' is not."""
    return np.array([sign == "+" for sign in text])


# Few distinct values, so that ties are common.
pairs = st.lists(st.tuples(st.integers(-4, 4).map(lambda i: i / 4), st.booleans()), min_size=2, max_size=12).filter(
    lambda rows: len({mated for _, mated in rows}) == 2
)


# --- intervals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(34, 40, 0.7093, 0.9294), (0, 20, 0.0, 0.1611), (13, 20, 0.4329, 0.8188), (5, 20, 0.1119, 0.4687)],
)
def test_wilson_interval_has_the_published_values(count: int, total: int, low: float, high: float) -> None:
    interval = wilson_interval(count, total)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert interval.confidence == 0.95


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize(("count", "total"), [(0, 1), (1, 1), (1, 3), (7, 1000), (999, 1000), (300, 600), (0, 667590)])
def test_wilson_interval_agrees_with_scipy(count: int, total: int, confidence: float) -> None:
    stats = import_module("scipy.stats")
    expected = stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    found = wilson_interval(count, total, confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(1, 500), st.data())
def test_wilson_interval_ends_where_the_score_test_does(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    interval = wilson_interval(count, total)
    share = count / total
    assert 0.0 <= interval.low <= share <= interval.high <= 1.0
    for end in (interval.low, interval.high):
        if 0.0 < end < 1.0:
            score = abs(share - end) / sqrt(end * (1 - end) / total)
            assert score == pytest.approx(1.959963984540054, rel=1e-6)


def test_wilson_interval_of_nothing_is_undefined() -> None:
    with pytest.raises(UndefinedRate, match="no trials"):
        wilson_interval(0, 0)


@pytest.mark.parametrize(("count", "total", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)])
def test_wilson_interval_refuses_what_is_no_share(count: int, total: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"no share|confidence"):
        wilson_interval(count, total, confidence)


def test_a_rate_carries_its_counts_and_interval() -> None:
    found = rate(13, 20)
    assert (found.value, found.count, found.total) == (0.65, 13, 20)
    assert found.interval == wilson_interval(13, 20)


# --- the best threshold -------------------------------------------------------------------------------------


@given(pairs, st.integers(0, 3))
def test_best_threshold_is_as_good_as_any_threshold_at_all(rows: list[tuple[float, bool]], failures: int) -> None:
    similarities = [similarity for similarity, _ in rows]
    candidates = [*similarities, *[s + 0.01 for s in similarities], *[s - 0.01 for s in similarities]]

    def wrong_at(threshold: float) -> int:
        return sum((similarity >= threshold) != mated for similarity, mated in rows)

    best = best_threshold_accuracy(f64(*similarities), np.array([mated for _, mated in rows]), failures)
    assert best.n == len(rows) + failures
    assert best.n_wrong == min(wrong_at(t) for t in candidates) + failures
    assert wrong_at(best.threshold) + failures == best.n_wrong
    assert best.accuracy == (best.n - best.n_wrong) / best.n
    assert best.interval == wilson_interval(best.n - best.n_wrong, best.n)


def test_best_threshold_lies_in_the_middle_of_the_widest_gap() -> None:
    best = best_threshold_accuracy(f64(0.1, 0.2, 0.6, 0.9), bools("--++"))
    assert (best.accuracy, best.n_wrong) == (1.0, 0)
    assert best.threshold == pytest.approx(0.4)


def test_of_several_best_thresholds_the_one_in_the_widest_gap_is_taken() -> None:
    best = best_threshold_accuracy(f64(0.1, 0.2, 0.3, 0.9), bools("-+-+"))
    assert best.n_wrong == 1
    assert best.threshold == pytest.approx(0.6)


def test_best_threshold_divides_neighbouring_numbers() -> None:
    high = float(np.nextafter(0.5, 1.0))
    best = best_threshold_accuracy(f64(0.5, high), bools("-+"))
    assert (best.threshold, best.n_wrong) == (high, 0)


def test_best_threshold_may_accept_all() -> None:
    best = best_threshold_accuracy(f64(0.3, 0.3, 0.3), bools("++-"))
    assert (best.threshold, best.n_wrong) == (0.3, 1)


def test_best_threshold_may_reject_all() -> None:
    best = best_threshold_accuracy(f64(0.3, 0.3, 0.3), bools("--+"))
    assert best.threshold > 0.3
    assert best.n_wrong == 1


def test_failures_are_wrong_and_stay_in_the_denominator() -> None:
    best = best_threshold_accuracy(f64(0.1, 0.9), bools("-+"), failures=2)
    assert (best.accuracy, best.n, best.n_wrong) == (0.5, 4, 2)


@pytest.mark.parametrize("signs", ["", "++", "--"])
def test_accuracy_without_both_classes_is_undefined(signs: str) -> None:
    with pytest.raises(UndefinedRate, match="one mated and one non-mated"):
        best_threshold_accuracy(f64(*[0.5] * len(signs)), bools(signs).astype(np.bool_), failures=1)


def test_similarities_that_are_no_numbers_are_refused() -> None:
    for bad in (nan, inf):
        with pytest.raises(ValueError, match="finite"):
            best_threshold_accuracy(f64(0.5, bad), bools("+-"))


def test_labels_of_another_shape_or_dtype_are_refused() -> None:
    with pytest.raises(ValueError, match="as many booleans"):
        best_threshold_accuracy(f64(0.5, 0.6), bools("+-+"))
    with pytest.raises(ValueError, match="as many booleans"):
        best_threshold_accuracy(f64(0.5, 0.6), np.array([1, -1]))
    with pytest.raises(ValueError, match="f64"):
        best_threshold_accuracy(np.zeros((2, 2)), np.zeros((2, 2), dtype=np.bool_))
    with pytest.raises(ValueError, match="failures"):
        best_threshold_accuracy(f64(0.5, 0.6), bools("+-"), failures=-1)


# --- folds --------------------------------------------------------------------------------------------------


def test_kfold_accuracy_of_a_case_worked_by_hand() -> None:
    # Fold 1 alone is divided at .5, fold 2 alone at .3; each decides the other.
    similarities = f64(0.4, 0.6, 0.2, 0.4)
    found = kfold_accuracy(similarities, bools("-+-+"), np.array([1, 1, 2, 2]))
    assert [fold.number for fold in found.folds] == [1, 2]
    assert [fold.threshold for fold in found.folds] == pytest.approx([0.3, 0.5])
    # Fold 1 at .3: .4 is accepted though not mated. Fold 2 at .5: .4 is rejected though mated.
    assert [(fold.accuracy.count, fold.accuracy.total) for fold in found.folds] == [(1, 2), (1, 2)]
    assert (found.mean, found.standard_error) == (0.5, 0.0)
    assert (found.pooled.count, found.pooled.total) == (2, 4)


def test_kfold_counts_failures_in_their_own_fold() -> None:
    similarities = f64(0.1, 0.9, 0.1, 0.9)
    found = kfold_accuracy(similarities, bools("-+-+"), np.array([1, 1, 2, 2]), failed_folds=[2, 2])
    assert [fold.accuracy.value for fold in found.folds] == [1.0, 0.5]
    assert found.mean == 0.75
    assert found.standard_error == pytest.approx(0.25)  # deviation sqrt(.125), over sqrt(2)
    assert (found.pooled.count, found.pooled.total) == (4, 6)


def test_kfold_agrees_with_a_plain_loop_over_ten_folds() -> None:
    rng = np.random.default_rng(7)
    folds = np.repeat(np.arange(10), 40)
    mated = np.tile(np.arange(40) < 20, 10)
    similarities = rng.normal(np.where(mated, 0.45, 0.2), 0.15)
    found = kfold_accuracy(similarities, mated, folds)
    expected = []
    for fold in range(10):
        rest = folds != fold
        grid = np.sort(similarities[rest])
        errors = [int(((similarities[rest] >= t) != mated[rest]).sum()) for t in [*grid, inf]]
        at = found.folds[fold].threshold
        assert int(((similarities[rest] >= at) != mated[rest]).sum()) == min(errors)
        expected.append(float(((similarities[~rest] >= at) == mated[~rest]).mean()))
    assert found.mean == pytest.approx(sum(expected) / 10)
    assert found.standard_error == pytest.approx(np.std(expected, ddof=1) / sqrt(10))


def test_kfold_accepts_a_similarity_at_the_threshold() -> None:
    # Fold 1 sets the threshold .5 for fold 2, whose mated pair lies exactly there.
    found = kfold_accuracy(f64(0.25, 0.75, 0.0, 0.5), bools("-+-+"), np.array([1, 1, 2, 2]))
    assert found.folds[1].threshold == 0.5
    assert found.folds[1].accuracy.value == 1.0


def test_one_fold_cannot_be_cross_validated() -> None:
    with pytest.raises(UndefinedRate, match="two folds"):
        kfold_accuracy(f64(0.1, 0.9), bools("-+"), np.array([1, 1]))


def test_a_fold_number_is_needed_for_each_pair() -> None:
    with pytest.raises(ValueError, match="fold numbers"):
        kfold_accuracy(f64(0.1, 0.9), bools("-+"), np.array([1]))


# --- rates at a threshold -----------------------------------------------------------------------------------


def test_a_similarity_at_the_threshold_is_accepted() -> None:
    assert false_match_rate(f64(0.2, 0.5, 0.7), 0.5).count == 2
    assert false_non_match_rate(f64(0.2, 0.5, 0.7), 0.5).count == 1


def test_failed_mated_pairs_are_non_matches() -> None:
    found = false_non_match_rate(f64(0.2, 0.7), 0.5, failures=3)
    assert (found.count, found.total) == (4, 5)
    assert false_non_match_rate(f64(), 0.5, failures=1).value == 1.0


def test_rates_of_no_comparison_are_undefined() -> None:
    with pytest.raises(UndefinedRate):
        false_match_rate(f64(), 0.5)
    with pytest.raises(UndefinedRate):
        false_non_match_rate(f64(), 0.5)


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold"):
        false_match_rate(f64(0.5), nan)
    with pytest.raises(ValueError, match="threshold"):
        false_non_match_rate(f64(0.5), nan)


def test_operating_point_holds_both_rates_and_all_failures() -> None:
    point = operating_point(f64(0.1, 0.6, 0.5, 0.2), bools("--++"), 0.5, mated_failures=1, nonmated_failures=2)
    assert (point.fmr.count, point.fmr.total) == (1, 2)
    assert (point.fnmr.count, point.fnmr.total) == (2, 3)
    assert (point.threshold, point.failures) == (0.5, 3)


# --- threshold at a false match rate ------------------------------------------------------------------------


@given(
    st.lists(st.integers(-8, 8).map(lambda i: i / 8), min_size=1, max_size=40),
    st.sampled_from([0.01, 0.1, 0.29, 0.3, 0.5, 0.7, 1.0]),
)
def test_threshold_at_fmr_is_the_lowest_that_keeps_it(values: list[float], target: float) -> None:
    if 1 / len(values) > target:
        with pytest.raises(UndefinedRate, match="cannot support"):
            threshold_at_fmr(f64(*values), target)
        return
    threshold = threshold_at_fmr(f64(*values), target)
    assert false_match_rate(f64(*values), threshold).value <= target
    lower = float(np.nextafter(threshold, -inf))
    if min(values) <= lower:
        assert false_match_rate(f64(*values), lower).value > target


def test_threshold_at_fmr_does_not_lose_a_comparison_to_rounding() -> None:
    values = f64(*range(100))
    assert int(0.29 * 100) == 28
    assert false_match_rate(values, threshold_at_fmr(values, 0.29)).count == 29


@pytest.mark.parametrize("target", [0.0, -0.1, 1.1, nan])
def test_a_target_that_is_no_rate_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="target"):
        threshold_at_fmr(f64(0.1, 0.2), target)


def test_no_comparisons_support_no_threshold() -> None:
    with pytest.raises(UndefinedRate, match="cannot support"):
        threshold_at_fmr(f64(), 0.5)
