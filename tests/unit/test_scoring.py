"""Scoring of verification: figures worked by hand or published, and what is refused."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from importlib import import_module
from math import inf, nan, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.scoring.auc import auc, auc_delong
from fr_core.scoring.det import UNSUPPORTED, det_curve, equal_error_rate, fnmr_at_fmr, threshold_table
from fr_core.scoring.intervals import UndefinedRate, rate, wilson_interval
from fr_core.scoring.support import Strength, rule_of_three, support
from fr_core.scoring.verification import (
    OperatingPoint,
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


def test_a_similarity_at_the_threshold_is_accepted() -> None:
    assert false_match_rate(f64(0.2, 0.5, 0.7), 0.5).count == 2
    assert false_non_match_rate(f64(0.2, 0.5, 0.7), 0.5).count == 1


def test_failed_mated_pairs_are_non_matches() -> None:
    found = false_non_match_rate(f64(0.2, 0.7), 0.5, failures=3)
    assert (found.count, found.total) == (4, 5)
    assert false_non_match_rate(f64(), 0.5, failures=1).value == 1.0


def test_operating_point_holds_both_rates_and_all_failures() -> None:
    point = operating_point(f64(0.1, 0.6, 0.5, 0.2), bools("--++"), 0.5, mated_failures=1, nonmated_failures=2)
    assert (point.fmr.count, point.fmr.total) == (1, 2)
    assert (point.fnmr.count, point.fnmr.total) == (2, 3)
    assert (point.threshold, point.failures) == (0.5, 3)


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


@pytest.mark.parametrize("area", [1.0, 0.0, 0.5])
def test_an_error_of_nothing_is_not_said_to_be_none(area: float) -> None:
    """Complete separation, or all tied: DeLong's variance is 0 however few pairs there are."""
    mated, nonmated = {1.0: (0.9, 0.1), 0.0: (0.1, 0.9), 0.5: (0.5, 0.5)}[area]
    assert auc(f64(mated, mated), f64(nonmated, nonmated)) == area
    with pytest.raises(UndefinedRate, match="cannot show how far"):
        auc_delong(f64(mated, mated), f64(nonmated, nonmated))


def test_the_interval_is_normal_on_the_logit_scale() -> None:
    found = auc_delong(f64(0.2, 0.6, 0.7, 0.8), f64(0.1, 0.3, 0.5, 0.65), confidence=0.9)
    logits = [np.log(x / (1 - x)) for x in (found.interval.low, found.value, found.interval.high)]
    margin = NormalDist().inv_cdf(0.95) * found.standard_error / (found.value * (1 - found.value))
    assert np.diff(logits) == pytest.approx([margin, margin])
    assert found.interval.confidence == 0.9
    assert (found.n_mated, found.n_nonmated) == (4, 4)


def test_the_interval_holds_the_true_area_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    true = NormalDist().cdf(1.5 / sqrt(2))
    tests = [auc_delong(rng.normal(1.5, 1, 60), rng.normal(0, 1, 90)).interval for _ in range(400)]
    assert sum(test.low <= true <= test.high for test in tests) / 400 == pytest.approx(0.95, abs=0.025)


def normal(seed: int, mean: float, n: int) -> F64:
    return np.random.default_rng(seed).normal(mean, 0.1, n)


def test_the_scores_are_left_as_they_were() -> None:
    mated, nonmated = f64(0.9, 0.5), f64(0.5, 0.1)
    det_curve(mated, nonmated)
    assert (list(mated), list(nonmated)) == ([0.9, 0.5], [0.5, 0.1])


def test_a_perfect_matcher_has_no_equal_errors_and_one_of_failures_alone_has_nothing_else() -> None:
    perfect = equal_error_rate(det_curve(f64(0.8, 0.9), f64(0.1, 0.2)))
    assert (perfect.value, perfect.threshold) == (0.0, 0.8)
    failed = equal_error_rate(det_curve(f64(), f64(0.1, 0.2), mated_failures=3))
    assert (failed.value, failed.threshold, failed.fmr, failed.fnmr) == (1.0, 0.1, 1.0, 1.0)


def test_of_two_thresholds_that_differ_alike_the_lower_is_taken() -> None:
    found = equal_error_rate(det_curve(f64(0.5, 0.9), f64(0.1, 0.5)))
    assert (found.value, found.threshold, found.fmr, found.fnmr) == (0.25, 0.5, 0.5, 0.0)


def test_a_thinned_curve_takes_equal_steps_of_normal_deviates() -> None:
    z = NormalDist().inv_cdf
    curve = det_curve(normal(1, 0.5, 20_000), normal(2, 0.1, 200_000))
    thin = curve.thinned(100)
    assert 60 < len(thin.thresholds) <= 100
    inside = (thin.fmr > 1e-3) & (thin.fnmr > 1e-3) & (thin.fmr < 0.999) & (thin.fnmr < 0.999)
    steps = np.diff([z(y) - z(x) for x, y in zip(thin.fmr[inside], thin.fnmr[inside], strict=True)])
    assert len(steps) > 15
    assert steps.max() < 1.1 * steps.min()
    assert (thin.n_mated, thin.n_nonmated) == (curve.n_mated, curve.n_nonmated)


def test_a_curve_of_few_points_is_not_thinned_and_no_curve_has_one_point() -> None:
    curve = det_curve(f64(0.5), f64(0.1))
    assert curve.thinned(3) is curve
    assert len(curve.thinned(2).thresholds) == 2
    with pytest.raises(ValueError, match="at least 2 points"):
        curve.thinned(1)


def test_the_miss_rate_at_a_false_match_rate_counts_failures() -> None:
    found = fnmr_at_fmr(f64(0.2, 0.3, 0.9), f64(0.1, 0.1, 0.2, 0.3), 0.25, mated_failures=1)
    assert found == OperatingPoint(np.nextafter(0.2, 1), rate(1, 4), rate(2, 4), 1)
    with pytest.raises(UndefinedRate, match="cannot support"):
        fnmr_at_fmr(f64(0.2), f64(0.1, 0.1, 0.2, 0.3), 0.1)
    with pytest.raises(UndefinedRate, match="no trials"):
        fnmr_at_fmr(f64(), f64(0.1), 1.0)


def test_the_table_says_which_targets_the_comparisons_do_not_support() -> None:
    rows = threshold_table(normal(1, 0.5, 1000), normal(2, 0.1, 5000), mated_failures=10)
    assert [row.target for row in rows] == [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    assert [row.point.fmr.count if row.point else row.note for row in rows] == [50, 5] + [UNSUPPORTED] * 3
    assert "rate is known to 30 %" in rows[0].note
    assert "5 errors in 5,000 comparisons: too few" in rows[1].note
    assert rows[0].point == fnmr_at_fmr(normal(1, 0.5, 1000), normal(2, 0.1, 5000), 1e-2, mated_failures=10)


@pytest.mark.slow
@pytest.mark.nightly
def test_ten_million_comparisons_take_five_seconds_and_a_gigabyte_at_most() -> None:
    mated, nonmated = normal(1, 0.6, 1_000_000), normal(2, 0.0, 9_000_000)
    tracemalloc.start()
    begun = time.process_time()
    curve = det_curve(mated, nonmated)
    thin, equal = curve.thinned(), equal_error_rate(curve)
    taken = time.process_time() - begun
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(curve.thresholds) == 10_000_001
    assert len(thin.thresholds) <= 2000
    assert equal.value == pytest.approx(0.00135, abs=0.0001)
    assert taken <= 5.0
    assert peak <= 1e9


@pytest.mark.parametrize(("comparisons", "limit"), [(1, 1.0), (3, 1.0), (6, 0.5), (3000, 0.001)])
def test_the_rule_of_three(comparisons: int, limit: float) -> None:
    assert rule_of_three(comparisons) == limit


@pytest.mark.parametrize(
    ("errors", "strength", "sentence"),
    [
        (0, Strength.NO_ERRORS, "0 errors in 3,000 comparisons: the true rate is at most 0.001 with 95 % confidence"),
        (
            1,
            Strength.FEW_ERRORS,
            "1 error in 3,000 comparisons: too few to know the rate to 30 %, which takes 30 errors",
        ),
        (29, Strength.FEW_ERRORS, "29 errors in 3,000 comparisons: too few"),
        (30, Strength.ENOUGH_ERRORS, "30 errors in 3,000 comparisons: the rate is known to 30 % with 90 % confidence"),
        (3000, Strength.ENOUGH_ERRORS, "3,000 errors in 3,000 comparisons"),
    ],
)
def test_the_support_of_a_rate(errors: int, strength: Strength, sentence: str) -> None:
    found = support(errors, 3000)
    assert (found.errors, found.comparisons, found.strength) == (errors, 3000, strength)
    assert found.sentence.startswith(sentence)


ONE, TWO = f64(0.5), f64(0.1, 0.9)
BAD: list[tuple[Callable[[], object], str]] = [
    (partial(wilson_interval, -1, 5), "not a share"),
    (partial(wilson_interval, 6, 5), "not a share"),
    (partial(wilson_interval, 1, 5, 0.0), "confidence"),
    (partial(wilson_interval, 1, 5, 1.0), "confidence"),
    (partial(best_threshold_accuracy, f64(0.5, nan), bools("+-")), "finite"),
    (partial(best_threshold_accuracy, f64(0.5, inf), bools("+-")), "finite"),
    (partial(best_threshold_accuracy, TWO, bools("+-+")), "as many booleans"),
    (partial(best_threshold_accuracy, TWO, np.array([1, -1])), "as many booleans"),
    (partial(best_threshold_accuracy, np.zeros((2, 2)), np.zeros((2, 2), dtype=np.bool_)), "f64"),
    (partial(best_threshold_accuracy, TWO, bools("+-"), failures=-1), "failures"),
    (partial(kfold_accuracy, TWO, bools("-+"), np.array([1])), "fold numbers"),
    (partial(false_match_rate, ONE, nan), "threshold"),
    (partial(false_non_match_rate, ONE, nan), "threshold"),
    *[(partial(threshold_at_fmr, TWO, target), "target") for target in (0.0, -0.1, 1.1, nan)],
    (partial(auc, f64(nan), ONE), "finite"),
    (partial(auc, ONE, f64(nan)), "finite"),
    (partial(auc, ONE, ONE, mated_failures=-1), "cannot be -1"),
    (partial(auc_delong, TWO, f64(0.1, 0.3), confidence=0.0), "confidence"),
    *[
        (partial(det_curve, *((ONE, bad) if swap else (bad, ONE))), "f64|finite")
        for bad in (f64(0.1, nan), f64(inf), ONE.astype(np.float32), ONE[None])
        for swap in (False, True)
    ],
    (partial(det_curve, ONE, ONE, mated_failures=-1), "cannot be -1"),
    (partial(threshold_table, f64(nan), normal(2, 0.1, 200)), "finite"),
    (partial(threshold_table, f64(nan), ONE), "finite"),  # which supports no target
    (partial(threshold_table, ONE, normal(2, 0.1, 200), targets=(2.0,)), "target"),
    (partial(threshold_table, ONE, normal(2, 0.1, 200), confidence=1.0), "confidence"),
    (partial(threshold_table, ONE, normal(2, 0.1, 200), mated_failures=-1), "cannot be -1"),
    *[(partial(support, *counts), "cannot be") for counts in ((-1, 5), (6, 5), (0, -1))],
]


@pytest.mark.parametrize(("ask", "why"), BAD)
def test_bad_input_is_refused(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        ask()
    assert not isinstance(refused.value, UndefinedRate)


UNDEFINED: list[tuple[Callable[[], object], str]] = [
    (partial(wilson_interval, 0, 0), "no trials"),
    *[
        (
            partial(best_threshold_accuracy, np.full(len(signs), 0.5), bools(signs).astype(np.bool_), 1),
            "one mated and one non-mated",
        )
        for signs in ("", "++", "--")
    ],
    (partial(kfold_accuracy, TWO, bools("-+"), np.array([1, 1])), "two folds"),
    (partial(false_match_rate, f64(), 0.5), "no trials"),
    (partial(false_non_match_rate, f64(), 0.5), "no trials"),
    (partial(threshold_at_fmr, f64(), 0.5), "cannot support"),
    (partial(auc, f64(), ONE), "at least one mated and one non-mated"),
    (partial(auc, ONE, f64()), "at least one mated and one non-mated"),
    (partial(auc_delong, ONE, TWO), "two mated and two non-mated"),
    (partial(auc_delong, TWO, ONE), "two mated and two non-mated"),
    (partial(det_curve, f64(), ONE), "at least one mated and one non-mated"),
    (partial(det_curve, ONE, f64()), "at least one mated and one non-mated"),
    (partial(threshold_table, f64(), ONE), "at least one mated pair"),
    (partial(support, 0, 0), "No comparisons"),
    (partial(rule_of_three, 0), "No comparisons"),
]


@pytest.mark.parametrize(("ask", "why"), UNDEFINED)
def test_figures_of_nothing_are_undefined(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(UndefinedRate, match=why):
        ask()
