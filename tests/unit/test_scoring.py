"""Scoring of verification, identification and quality: figures worked by hand or published, and what is refused."""

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
from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.det import UNSUPPORTED, det_curve, equal_error_rate, fnmr_at_fmr, threshold_table
from fr_core.scoring.gallery_sizes import mated_at_sizes, nonmated_at_sizes
from fr_core.scoring.identification import (
    MatedSearches,
    NonmatedSearches,
    cmc,
    fnir,
    fnir_at_fpir,
    fpir,
    identification_det,
    identification_point,
    threshold_at_fpir,
)
from fr_core.scoring.intervals import UndefinedRate, rate, wilson_interval
from fr_core.scoring.rejection import discard_curve, pair_qualities, quality_edges, rates_by_quality
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
from fr_locales.rendering import render


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


def i64(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def bools(text: str) -> Bools:
    """'+' is mated, '-' is not."""
    return np.array([sign == "+" for sign in text], dtype=np.bool_)


# Few distinct values, so that ties are common.
pairs = st.lists(st.tuples(st.integers(-4, 4).map(lambda i: i / 4), st.booleans()), min_size=2, max_size=12).filter(
    lambda rows: len({mated for _, mated in rows}) == 2
)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize(("count", "total"), [(0, 1), (1, 1), (1, 3), (7, 1000), (999, 1000), (300, 600), (0, 667590)])
def test_wilson_interval_agrees_with_scipy(count: int, total: int, confidence: float) -> None:
    stats = import_module("scipy.stats")
    expected = stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    found = wilson_interval(count, total, confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


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


@pytest.mark.parametrize(
    ("similarities", "mated", "wrong", "threshold"),
    [
        (f64(0.1, 0.2, 0.6, 0.9), "--++", 0, 0.4),
        (f64(0.1, 0.2, 0.3, 0.9), "-+-+", 1, 0.6),  # of several best ones
        (f64(0.5, np.nextafter(0.5, 1.0)), "-+", 0, np.nextafter(0.5, 1.0)),
    ],
)
def test_best_threshold_lies_in_the_middle_of_the_widest_gap(
    similarities: F64, mated: str, wrong: int, threshold: float
) -> None:
    best = best_threshold_accuracy(similarities, bools(mated))
    assert best.n_wrong == wrong
    assert best.threshold == pytest.approx(threshold, rel=1e-15)


def test_kfold_accuracy_of_cases_worked_by_hand() -> None:
    # Fold 1 alone is divided at .5, fold 2 alone at .3; each decides the other.
    found = kfold_accuracy(f64(0.4, 0.6, 0.2, 0.4), bools("-+-+"), np.array([1, 1, 2, 2]))
    assert [fold.number for fold in found.folds] == [1, 2]
    assert [fold.threshold for fold in found.folds] == pytest.approx([0.3, 0.5])
    # Fold 1 at .3: .4 is accepted though not mated. Fold 2 at .5: .4 is rejected though mated.
    assert [(fold.accuracy.count, fold.accuracy.total) for fold in found.folds] == [(1, 2), (1, 2)]
    assert (found.mean, found.standard_error) == (0.5, 0.0)
    assert (found.pooled.count, found.pooled.total) == (2, 4)
    # The mated pair of fold 2 lies exactly at the threshold, and is accepted.
    found = kfold_accuracy(f64(0.25, 0.75, 0.0, 0.5), bools("-+-+"), np.array([1, 1, 2, 2]))
    assert (found.folds[1].threshold, found.folds[1].accuracy.value) == (0.5, 1.0)
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


def test_a_similarity_at_the_threshold_is_accepted_and_failures_are_non_matches() -> None:
    assert false_match_rate(f64(0.2, 0.5, 0.7), 0.5).count == 2
    assert false_non_match_rate(f64(0.2, 0.5, 0.7), 0.5).count == 1
    assert false_non_match_rate(f64(0.2, 0.7), 0.5, failures=3) == rate(4, 5)
    assert false_non_match_rate(f64(), 0.5, failures=1).value == 1.0
    point = operating_point(f64(0.1, 0.6, 0.5, 0.2), bools("--++"), 0.5, mated_failures=1, nonmated_failures=2)
    assert point == OperatingPoint(0.5, rate(1, 2), rate(2, 3), 3)


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
    hundred = f64(*range(100))
    assert false_match_rate(hundred, threshold_at_fmr(hundred, 0.29)).count == 29  # though int(0.29 * 100) is 28


@pytest.mark.parametrize("area", [1.0, 0.0, 0.5])
def test_an_error_of_nothing_is_not_said_to_be_none(area: float) -> None:
    """Complete separation, or all tied: DeLong's variance is 0 however few pairs there are."""
    mated, nonmated = {1.0: (0.9, 0.1), 0.0: (0.1, 0.9), 0.5: (0.5, 0.5)}[area]
    assert auc(f64(mated, mated), f64(nonmated, nonmated)) == area
    with pytest.raises(UndefinedRate, match="cannot show how far"):
        auc_delong(f64(mated, mated), f64(nonmated, nonmated))


def test_the_interval_of_an_area_is_normal_on_the_logit_scale_and_holds_the_true_one() -> None:
    found = auc_delong(f64(0.2, 0.6, 0.7, 0.8), f64(0.1, 0.3, 0.5, 0.65), confidence=0.9)
    logits = [np.log(x / (1 - x)) for x in (found.interval.low, found.value, found.interval.high)]
    margin = NormalDist().inv_cdf(0.95) * found.standard_error / (found.value * (1 - found.value))
    assert np.diff(logits) == pytest.approx([margin, margin])
    assert found.interval.confidence == 0.9
    assert (found.n_mated, found.n_nonmated) == (4, 4)
    rng = np.random.default_rng(1)
    true = NormalDist().cdf(1.5 / sqrt(2))
    tests = [auc_delong(rng.normal(1.5, 1, 60), rng.normal(0, 1, 90)).interval for _ in range(400)]
    assert sum(test.low <= true <= test.high for test in tests) / 400 == pytest.approx(0.95, abs=0.025)


def normal(seed: int, mean: float, n: int) -> F64:
    return np.random.default_rng(seed).normal(mean, 0.1, n)


def test_equal_error_rates_at_the_ends_and_between_two_thresholds() -> None:
    mated, nonmated = f64(0.9, 0.5), f64(0.5, 0.1)
    for curve, *expected in (
        (det_curve(f64(0.8, 0.9), f64(0.1, 0.2)), 0.0, 0.8, 0.0, 0.0),
        (det_curve(f64(), f64(0.1, 0.2), mated_failures=3), 1.0, 0.1, 1.0, 1.0),
        (det_curve(mated, nonmated), 0.25, 0.5, 0.5, 0.0),  # the lower of two that differ alike
    ):
        found = equal_error_rate(curve)
        assert [found.value, found.threshold, found.fmr, found.fnmr] == expected
    assert (list(mated), list(nonmated)) == ([0.9, 0.5], [0.5, 0.1])  # not sorted in place


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
    short = det_curve(f64(0.5), f64(0.1))
    assert short.thinned(3) is short
    assert len(short.thinned(2).thresholds) == 2


def test_the_miss_rate_at_a_false_match_rate_counts_failures_and_the_table_says_what_is_unsupported() -> None:
    found = fnmr_at_fmr(f64(0.2, 0.3, 0.9), f64(0.1, 0.1, 0.2, 0.3), 0.25, mated_failures=1)
    assert found == OperatingPoint(np.nextafter(0.2, 1), rate(1, 4), rate(2, 4), 1)
    with pytest.raises(UndefinedRate, match="cannot support"):
        fnmr_at_fmr(f64(0.2), f64(0.1, 0.1, 0.2, 0.3), 0.1)
    with pytest.raises(UndefinedRate, match="no trials"):
        fnmr_at_fmr(f64(), f64(0.1), 1.0)
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
    assert render(found.sentence).startswith(sentence)
    assert [rule_of_three(comparisons) for comparisons in (1, 3, 6, 3000)] == [1.0, 1.0, 0.5, 0.001]


def mated(failures: int = 0) -> MatedSearches:
    """Four searches of ten people with lists of three: ranks 1, 1, 3 and none."""
    return MatedSearches(i64(1, 1, 3, 0), f64(0.9, 0.5, 0.4, nan), 10, 3, failures)


def nonmated(failures: int = 0) -> NonmatedSearches:
    return NonmatedSearches(f64(0.1, 0.2, 0.3, 0.5), 10, failures)


def test_identification_point_holds_both_rates_and_failures_are_misses_at_every_rank() -> None:
    assert cmc(mated(failures=6)) == (rate(2, 10), rate(2, 10), rate(3, 10))
    assert cmc(MatedSearches(i64(), f64(), 5, 2, failures=1)) == (rate(0, 1), rate(0, 1))
    det = identification_det(MatedSearches(i64(), f64(), 10, 3, failures=2), nonmated())
    assert det.fnir.tolist() == [1.0] * 5
    assert fpir(nonmated(failures=96), 0.3) == rate(2, 4)  # a stranger's failed search does not better the rate
    point = identification_point(mated(failures=1), nonmated(failures=2), 0.3, rank=2)
    assert (point.gallery_size, point.rank, point.threshold) == (10, 2, 0.3)
    assert (point.fnir, point.fpir) == (rate(3, 5), rate(2, 4))
    assert (point.mated_failures, point.nonmated_failures) == (1, 2)
    point = fnir_at_fpir(mated(), nonmated(), 0.5, rank=1)
    assert point == identification_point(mated(), nonmated(), float(np.nextafter(0.2, 1)), rank=1)
    assert fnir_at_fpir(mated(), nonmated(), 0.5).rank == 3


OTHERS = np.array([[0.1, 0.6, 0.5, 0.9], [0.2, 0.2, 0.2, 0.2]])


def test_galleries_of_each_size_keep_failures_and_read_no_more_people_than_the_largest_has() -> None:
    of_mates = mated_at_sizes(f64(0.5, 0.7), [OTHERS], [1, 4, 5], failures=1)
    assert [(at.ranks.tolist(), at.failures) for at in of_mates] == [([1, 1], 1), ([3, 1], 1), ([4, 1], 1)]
    assert [at.failures for at in nonmated_at_sizes([OTHERS], [1, 3], failures=2)] == [2, 2]
    blocks = [OTHERS, np.array([[nan], [nan]])]
    assert nonmated_at_sizes(blocks, [4])[0].top_similarities.tolist() == [0.9, 0.2]
    with pytest.raises(ValueError, match="finite"):
        nonmated_at_sizes(blocks, [5])


# Ten mated pairs; the three of lowest quality and the best one are missed at .5.
PAIRS = f64(0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.4)
QUALITIES = f64(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


def test_discarding_the_worst_pairs_removes_their_misses_but_no_failures() -> None:
    curve = discard_curve(PAIRS, QUALITIES, 0.5, shares=[0.0, 0.1, 0.3, 0.5, 0.9])
    assert [point.fnmr for point in curve] == [rate(4, 10), rate(3, 9), rate(1, 7), rate(1, 5), rate(1, 1)]
    assert [point.ideal for point in curve] == [0.4, 3 / 9, 1 / 7, 0.0, 0.0]
    curve = discard_curve(PAIRS, QUALITIES, 0.5, shares=[0.0, 0.5], failures=2)
    assert [point.fnmr for point in curve] == [rate(6, 12), rate(3, 7)]
    assert [point.ideal for point in curve] == [0.5, 2 / 7]


def test_shares_lose_no_pair_to_rounding_and_edges_divide_the_pairs_evenly() -> None:
    values = np.arange(1000, dtype=np.float64)
    assert discard_curve(values[:100], values[:100], 0.5, shares=[0.29])[0].discarded == 29
    assert discard_curve(values, values, 0.5, shares=[float(np.nextafter(1.0, 0.0))])[0].discarded == 999
    assert pair_qualities(f64(1, 5, 3), f64(4, 2, 3)).tolist() == [1, 2, 3]
    assert quality_edges(np.arange(101, dtype=np.float64), 4).tolist() == [0, 25, 50, 75, 100]
    assert quality_edges(f64(1, 1, 1, 1, 2), 4).tolist() == [1, 2]  # repeated qualities make fewer bins


NO_SEARCH, NO_STRANGER = MatedSearches(i64(), f64(), 10, 3), NonmatedSearches(f64(), 10, failures=3)
OF_OTHERS = NonmatedSearches(f64(0.1), 11)
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
    (partial(threshold_table, ONE, normal(2, 0.1, 200), mated_failures=-1), "cannot be -1"),
    *[(partial(support, *counts), "cannot be") for counts in ((-1, 5), (6, 5), (0, -1))],
    (partial(det_curve(ONE, f64(0.1)).thinned, 1), "at least 2 points"),
    *[(partial(cmc, mated(), ranks), "ranks") for ranks in (0, 4)],
    (partial(fnir, mated(), nan), "threshold"),
    (partial(fpir, nonmated(), nan), "threshold"),
    *[(partial(fnir, mated(), 0.5, rank), "Lists of 3 candidates") for rank in (0, 4)],
    (partial(identification_point, mated(), OF_OTHERS, 0.3), "10 and 11 people"),
    (partial(identification_det, mated(), OF_OTHERS), "10 and 11 people"),
    (partial(MatedSearches, i64(1, 2), f64(0.5), 10, 3), r"Ranks are i64\[n\]"),
    (partial(MatedSearches, f64(1.0).astype(np.int32), f64(0.5), 10, 3), r"Ranks are i64\[n\]"),
    (partial(MatedSearches, i64(1)[None], f64(1)[None], 10, 3), r"Ranks are i64\[n\]"),
    *[(partial(MatedSearches, i64(rank), f64(0.5), 10, 3), "rank lies outside 0 to 3") for rank in (-1, 4)],
    *[(partial(MatedSearches, i64(), f64(), *of), "gives no list") for of in ((10, 0), (10, 11), (0, 0))],
    (partial(MatedSearches, i64(1), f64(nan), 10, 3), "finite"),
    (partial(NonmatedSearches, f64(-inf), 10), "finite"),
    (partial(MatedSearches, i64(1), f64(0.5), 10, 3, failures=-1), "failures"),
    (partial(NonmatedSearches, f64(0.5), 10, failures=-1), "failures"),
    (partial(NonmatedSearches, f64(0.5), 0), "gallery of 0 people"),
    (partial(mated_at_sizes, f64(0.5, 0.7), [OTHERS], [6]), "hold 4 people, too few"),
    (partial(nonmated_at_sizes, [OTHERS], [2, 5]), "hold 4 people, too few"),
    *[(partial(mated_at_sizes, f64(0.5, 0.7), [OTHERS], sizes), "ascend") for sizes in ([], [0], [2, 2])],
    *[(partial(nonmated_at_sizes, [OTHERS], sizes), "ascend") for sizes in ([], [0], [3, 2])],
    (partial(mated_at_sizes, f64(0.5), [OTHERS], [2]), "row for each probe"),
    (partial(nonmated_at_sizes, [OTHERS, OTHERS[:1]], [5]), "row for each probe"),
    (partial(nonmated_at_sizes, [OTHERS[0]], [1]), "row for each probe"),
    *[(partial(mated_at_sizes, f64(0.5), [f64(bad)[None]], [2]), "finite") for bad in (nan, -inf)],
    *[(partial(nonmated_at_sizes, [f64(bad, 0.5)[None]], [2]), "finite") for bad in (nan, -inf)],
    (partial(mated_at_sizes, f64(0.5, 0.7)[:, None], [OTHERS], [2]), r"Similarities are f64\[n\]"),
    *[(partial(discard_curve, PAIRS, QUALITIES, 0.5, [share]), "share to") for share in (-0.1, 1.0, nan)],
    (partial(discard_curve, PAIRS, QUALITIES[:9], 0.5), "one for each of 10 pairs"),
    (partial(discard_curve, PAIRS, QUALITIES.astype(np.float32), 0.5), "one for each of 10 pairs"),
    *[(partial(discard_curve, f64(1), f64(bad), 0.5), "quality is not a finite") for bad in (nan, inf)],
    (partial(discard_curve, f64(nan), f64(1), 0.5), "similarity is not a finite"),
    (partial(discard_curve, PAIRS, QUALITIES, nan), "threshold"),
    (partial(discard_curve, PAIRS, QUALITIES, 0.5, failures=-1), "failures"),
    (partial(pair_qualities, f64(1), f64(1, 2)), "one for each"),
    (partial(pair_qualities, f64(1), f64(nan)), "finite"),
    (partial(pair_qualities, f64(nan), f64(1)), "finite"),
    *[(partial(rates_by_quality, f64(1), f64(q), f64(), f64(), 0.5, f64(1, 10)), "outside the") for q in (0.9, 10.1)],
    (partial(rates_by_quality, f64(), f64(), f64(1), f64(0.9), 0.5, f64(1, 10)), "outside the edges"),
    *[
        (partial(rates_by_quality, PAIRS, QUALITIES, f64(), f64(), 0.5, f64(*edges)), "ascending")
        for edges in ([], [1], [1, 1], [2, 1], [1, nan], [1, inf])
    ],
    (partial(rates_by_quality, f64(nan), f64(1), f64(), f64(), 0.5, f64(1, 10)), "finite"),
    (partial(rates_by_quality, f64(), f64(), f64(nan), f64(1), 0.5, f64(1, 10)), "finite"),
    (partial(rates_by_quality, f64(), f64(), f64(), f64(), nan, f64(1, 10)), "threshold"),
    (partial(quality_edges, f64(1, 2), 0), "one bin at least"),
    (partial(quality_edges, f64(1, nan), 2), "finite"),
]


@pytest.mark.parametrize(("ask", "why"), BAD)
def test_bad_input_is_refused(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        ask()
    assert not isinstance(refused.value, UndefinedRate)


UNDEFINED: list[tuple[Callable[[], object], str]] = [
    (partial(wilson_interval, 0, 0), "no trials"),
    *[(partial(best_threshold_accuracy, np.full(len(s), 0.5), bools(s), 1), "one mated and") for s in ("", "++", "--")],
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
    (partial(cmc, NO_SEARCH), "no trials"),
    (partial(fnir, NO_SEARCH, 0.5), "no trials"),
    (partial(fpir, NO_STRANGER, 0.5), "no trials"),
    (
        partial(threshold_at_fpir, nonmated(failures=96), 0.1),
        r"4 non-mated searches cannot support .* identification rate of 0\.1",
    ),
    (partial(identification_det, NO_SEARCH, nonmated()), "one mated and one non-mated"),
    (partial(identification_det, mated(), NO_STRANGER), "one mated and one non-mated"),
    (partial(discard_curve, f64(), f64(), 0.5, failures=3), "none can be discarded"),
    (partial(quality_edges, f64(), 2), "two different"),
    (partial(quality_edges, f64(3, 3), 2), "two different"),
]


@pytest.mark.parametrize(("ask", "why"), UNDEFINED)
def test_figures_of_nothing_are_undefined(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(UndefinedRate, match=why):
        ask()
