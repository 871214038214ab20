"""Rates, curves, identification, groups, quality and calibrations against slow direct computations."""

from dataclasses import replace
from datetime import date
from itertools import pairwise, product
from math import inf, log2, sqrt

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fr_core.scoring.auc import auc, auc_delong
from fr_core.scoring.bootstrap import fmr_statistic, fnmr_at_fmr_statistic, threshold_statistic
from fr_core.scoring.calibration import MOST_CHARACTERS, MOST_SETTINGS, Provenance, fit_calibration
from fr_core.scoring.calibration_json import from_json, to_json
from fr_core.scoring.calibrators import fit_logistic, fit_steps, supported_limits
from fr_core.scoring.det import det_curve, equal_error_rate
from fr_core.scoring.differentials import gini, max_to_min, rates_by_group, ratios_to_geometric_mean
from fr_core.scoring.gallery_sizes import mated_at_sizes, nonmated_at_sizes
from fr_core.scoring.group_trials import MatedTrials
from fr_core.scoring.identification import (
    MatedSearches,
    NonmatedSearches,
    cmc,
    fnir,
    fpir,
    identification_det,
    threshold_at_fpir,
)
from fr_core.scoring.intervals import UndefinedRate, rate
from fr_core.scoring.likelihood import cllr, min_cllr
from fr_core.scoring.rate_table import rate_table
from fr_core.scoring.rejection import discard_curve, rates_by_quality
from fr_core.scoring.verification import false_match_rate, false_non_match_rate, threshold_at_fmr
from support.counts import examples

F64 = npt.NDArray[np.float64]


def few_values(min_size: int, max_size: int = 12) -> st.SearchStrategy[F64]:
    """Of nine values, so that ties are common."""
    values = st.integers(-4, 4).map(lambda i: i / 4)
    return st.lists(values, min_size=min_size, max_size=max_size).map(lambda v: np.array(v, dtype=np.float64))


failures = st.integers(0, 3)
targets = st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0])


@given(few_values(0), few_values(1), failures)
def test_the_curve_has_the_rates_of_each_threshold(mated: F64, nonmated: F64, failed: int) -> None:
    if len(mated) + failed == 0:
        with pytest.raises(UndefinedRate):
            det_curve(mated, nonmated, failed)
        return
    curve = det_curve(mated, nonmated, failed)
    assert list(curve.thresholds[:-1]) == sorted({*mated, *nonmated})
    assert curve.thresholds[-1] == np.nextafter(curve.thresholds[-2], np.inf)
    for threshold, fmr, fnmr in zip(curve.thresholds, curve.fmr, curve.fnmr, strict=True):
        assert fmr == false_match_rate(nonmated, threshold).value
        assert fnmr == false_non_match_rate(mated, threshold, failed).value


@given(few_values(1), few_values(1), failures)
def test_the_equal_error_rate_lies_on_the_line_between_two_neighbours(mated: F64, nonmated: F64, failed: int) -> None:
    curve = det_curve(mated, nonmated, failed)
    found = equal_error_rate(curve)
    meeting = [
        x
        for a, b, c, d in zip(curve.fmr, curve.fmr[1:], curve.fnmr, curve.fnmr[1:], strict=False)
        if a >= c and b < d
        # The point x = FMR = FNMR of the line from (a, c) to (b, d).
        for x in [(a * d - b * c) / (a - b + d - c)]
    ]
    assert [found.value] == pytest.approx(meeting, abs=1e-12)
    at = int(np.flatnonzero(curve.thresholds == found.threshold)[0])
    assert (found.fmr, found.fnmr) == (curve.fmr[at], curve.fnmr[at])
    assert abs(found.fmr - found.fnmr) == np.abs(curve.fmr - curve.fnmr).min()


@given(few_values(1, 40), few_values(1, 40), failures, st.integers(2, 12))
def test_a_thinned_curve_holds_both_ends_and_its_points(mated: F64, nonmated: F64, failed: int, points: int) -> None:
    curve = det_curve(mated, nonmated, failed)
    thin = curve.thinned(points)
    assert len(thin.thresholds) <= points
    assert [thin.thresholds[0], thin.thresholds[-1]] == [curve.thresholds[0], curve.thresholds[-1]]
    assert (np.diff(thin.thresholds) > 0).all()
    whole = set(zip(curve.thresholds, curve.fmr, curve.fnmr, strict=True))
    assert set(zip(thin.thresholds, thin.fmr, thin.fnmr, strict=True)) <= whole


@given(few_values(0), few_values(1), failures)
def test_the_area_counts_every_couple(mated: F64, nonmated: F64, failed: int) -> None:
    with_failed = [*mated, *[-np.inf] * failed]
    if not with_failed:
        return
    wins = [1.0 if x > y else 0.5 if x == y else 0.0 for x in with_failed for y in nonmated]
    assert auc(mated, nonmated, failed) == pytest.approx(sum(wins) / len(wins), abs=1e-12)


@given(few_values(2), few_values(2), failures)
def test_the_standard_error_is_that_of_delongs_matrix(mated: F64, nonmated: F64, failed: int) -> None:
    with_failed = np.concatenate([mated, np.full(failed, -np.inf)])
    wins = (with_failed[:, None] > nonmated) + 0.5 * (with_failed[:, None] == nonmated)
    rows, columns = wins.mean(axis=1), wins.mean(axis=0)
    error = sqrt(rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns))
    if error < 1e-9:
        with pytest.raises(UndefinedRate):
            auc_delong(mated, nonmated, mated_failures=failed)
        return
    found = auc_delong(mated, nonmated, mated_failures=failed)
    assert (found.value, found.standard_error) == pytest.approx((wins.mean(), error), abs=1e-9)
    assert 0.0 < found.interval.low < found.value < found.interval.high < 1.0


def repeated(values: F64, weights: list[int]) -> F64:
    return np.repeat(values, weights[: len(values)])


weights_of_twelve = st.lists(st.integers(0, 3), min_size=12, max_size=12)


@given(few_values(1), weights_of_twelve, st.integers(-5, 5).map(lambda i: i / 4))
def test_a_weight_counts_a_comparison_that_often(scores: F64, weights: list[int], threshold: float) -> None:
    many = repeated(scores, weights)
    as_array = np.array(weights[: len(scores)], dtype=np.float64)
    if len(many) == 0:
        with pytest.raises(UndefinedRate):
            fmr_statistic(scores, threshold)(as_array)
        return
    fmr = fmr_statistic(scores, threshold)(as_array)
    assert fmr == pytest.approx(false_match_rate(many, threshold).value, abs=1e-12)


@given(few_values(1), weights_of_twelve, targets)
def test_the_weighted_threshold_is_the_lowest_for_its_target(scores: F64, weights: list[int], target: float) -> None:
    if len(scores) * target < 1.0:
        with pytest.raises(UndefinedRate):
            threshold_statistic(scores, target)
        return
    many = repeated(scores, weights)
    as_array = np.array(weights[: len(scores)], dtype=np.float64)
    if len(many) == 0:
        return
    threshold = threshold_statistic(scores, target)(as_array)
    assert (many >= threshold).mean() <= target
    if target < 1.0:
        assert (many >= np.nextafter(threshold, -np.inf)).mean() > target
    assert threshold_statistic(scores, target)(np.ones(len(scores))) == threshold_at_fmr(scores, target)


@given(few_values(1, 5), few_values(4, 5), st.integers(0, 2), weights_of_twelve)
def test_the_weighted_miss_rate_at_that_threshold(mated: F64, nonmated: F64, failed: int, weights: list[int]) -> None:
    n, n_mated = len(mated), len(mated) + failed
    as_array = np.array(weights[: n_mated + len(nonmated)], dtype=np.float64)
    if as_array[:n_mated].sum() == 0 or as_array[n_mated:].sum() == 0:
        return
    at = threshold_statistic(nonmated, 0.25)(as_array[n_mated:])
    missed = np.concatenate([mated < at, np.ones(failed, dtype=np.bool_)])
    expected = np.average(missed, weights=as_array[:n_mated])
    found = fnmr_at_fmr_statistic(mated, nonmated, 0.25, failed)(as_array)
    assert found == pytest.approx(float(expected), abs=1e-12)
    assert n + failed + len(nonmated) == len(as_array)


values = st.integers(-4, 4).map(lambda i: i / 4)  # few distinct values, so that ties are common
thresholds = st.integers(-9, 9).map(lambda i: i / 8)


Case = tuple[MatedSearches, NonmatedSearches, F64]


def matrix(rows: int, columns: int) -> st.SearchStrategy[F64]:
    return hnp.arrays(np.float64, (rows, columns), elements=values)


@st.composite
def searches(draw: st.DrawFn) -> Case:
    """Searches of a made-up gallery, and the best foil of each mated one; person 0 is always the mate."""
    people = draw(st.integers(2, 6))
    length = draw(st.integers(1, people))
    similarities = draw(matrix(draw(st.integers(1, 5)), people))
    ranks = np.array([sorted(range(people), key=lambda person: -row[person]).index(0) + 1 for row in similarities])
    mated = MatedSearches(
        np.where(ranks <= length, ranks, 0), similarities[:, 0].copy(), people, length, draw(st.integers(0, 2))
    )
    strangers = draw(matrix(draw(st.integers(1, 5)), people))
    nonmated = NonmatedSearches(strangers.max(axis=1), people, draw(st.integers(0, 2)))
    return mated, nonmated, similarities[:, 1:].max(axis=1)


@given(searches(), thresholds, st.data())
def test_rates_are_those_of_a_slow_count(case: Case, threshold: float, data: st.DataObject) -> None:
    mated, nonmated, _ = case
    rank = data.draw(st.integers(1, mated.list_length))
    hits = 0
    for found, similarity in zip(mated.ranks, mated.similarities, strict=True):
        hits += bool(1 <= found <= rank and similarity >= threshold)
    alarms = sum(bool(top >= threshold) for top in nonmated.top_similarities)
    total = len(mated.ranks) + mated.failures

    misses = fnir(mated, threshold, rank)
    assert (misses.count, misses.total) == (total - hits, total)
    assert (fpir(nonmated, threshold).count, fpir(nonmated, threshold).total) == (
        alarms,
        len(nonmated.top_similarities),
    )


@given(searches())
def test_cmc_is_what_fnir_leaves_without_a_threshold(case: Case) -> None:
    mated = case[0]
    misses = [fnir(mated, -np.inf, rank) for rank in range(1, mated.list_length + 1)]
    assert list(cmc(mated)) == [rate(one.total - one.count, one.total) for one in misses]


@given(searches(), st.data())
def test_det_holds_the_rates_at_each_of_its_thresholds(case: Case, data: st.DataObject) -> None:
    mated, nonmated, _ = case
    rank = data.draw(st.integers(1, mated.list_length))
    det = identification_det(mated, nonmated, rank)
    assert (np.diff(det.thresholds) > 0).all()
    assert det.fpir.tolist() == [fpir(nonmated, at).value for at in det.thresholds]
    assert det.fnir.tolist() == [fnir(mated, at, rank).value for at in det.thresholds]
    assert (det.fpir[0], det.fpir[-1], det.fnir[-1]) == (1.0, 0.0, 1.0)
    # Between its thresholds nothing changes.
    for low, high in pairwise(det.thresholds):
        just_above = float(np.nextafter(low, np.inf))
        assert fpir(nonmated, just_above) == fpir(nonmated, high)
        assert fnir(mated, just_above, rank) == fnir(mated, high, rank)


@given(searches(), st.sampled_from([0.1, 0.2, 0.25, 0.4, 0.5, 0.6, 1.0]))
def test_threshold_at_fpir_keeps_it_and_no_lower_one_does(case: Case, target: float) -> None:
    nonmated = case[1]
    tops = nonmated.top_similarities
    if 1 / len(tops) > target:
        with pytest.raises(UndefinedRate):
            threshold_at_fpir(nonmated, target)
        return
    threshold = threshold_at_fpir(nonmated, target)
    lower = float(np.nextafter(threshold, -np.inf))
    assert fpir(nonmated, threshold).value <= target
    assert fpir(nonmated, lower).value > target or lower < tops.min()


@given(st.integers(1, 4), st.integers(1, 8), st.data())
def test_galleries_grow_as_slow_searches_do(probes: int, people: int, data: st.DataObject) -> None:
    mates = data.draw(hnp.arrays(np.float64, probes, elements=values))
    others = data.draw(matrix(probes, people))
    sizes = sorted(data.draw(st.sets(st.integers(1, people), min_size=1)))
    cuts = sorted(data.draw(st.sets(st.integers(0, people))))
    blocks = np.split(others, cuts, axis=1)  # empty blocks among them

    for size, at in zip(sizes, nonmated_at_sizes(blocks, sizes), strict=True):
        assert at.gallery_size == size
        assert at.top_similarities.tolist() == [max(row[:size]) for row in others.tolist()]
    for size, mated in zip(sizes, mated_at_sizes(mates, blocks, sizes), strict=True):
        assert (mated.gallery_size, mated.list_length) == (size, size)
        ahead = [sum(other >= mate for other in row[: size - 1]) for mate, row in zip(mates, others, strict=True)]
        assert mated.ranks.tolist() == [1 + count for count in ahead]
        assert mated.similarities.tolist() == mates.tolist()


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=60, max_size=120))
def test_rates_of_groups_are_those_of_a_slow_count(trials: list[tuple[int, bool]]) -> None:
    groups = np.array([group for group, _ in trials], dtype=np.int64)
    of_people = MatedTrials(np.array([error for _, error in trials], dtype=np.float64), np.ones(len(trials)))
    for number, found in enumerate(rates_by_group(of_people, groups, ["a", "b", "c"])):
        mine = [error for group, error in trials if group == number]
        assert found.trials == len(mine)
        if len(mine) < 30:
            assert found.rate is None
            assert found.note
        else:
            assert found.rate is not None
            assert (found.rate.count, found.rate.total) == (sum(mine), len(mine))


@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=6), st.floats(0.1, 1.0))
def test_differentials_do_not_depend_on_scale_or_order(rates: list[float], scale: float) -> None:
    array = np.array(rates)
    ratios = ratios_to_geometric_mean(array)
    assert np.prod(ratios) == pytest.approx(1.0)
    assert ratios == pytest.approx(array / np.prod(array) ** (1 / len(array)))
    assert ratios_to_geometric_mean(array * scale) == pytest.approx(ratios)
    assert max_to_min(array) == pytest.approx(ratios.max() / ratios.min())
    mean_difference = sum(abs(a - b) for a, b in product(rates, rates)) / (len(rates) * (len(rates) - 1))
    assert gini(array) == pytest.approx(mean_difference / (2 * array.mean()), abs=1e-12)
    assert gini(array * scale) == pytest.approx(gini(array[::-1]), abs=1e-9)
    assert -1e-12 <= gini(array) <= 1 + 1e-12


pairs = st.lists(st.tuples(values, st.integers(0, 4).map(float)), min_size=1, max_size=20)


@given(pairs, thresholds, st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.95]), st.integers(0, 2))
def test_the_discard_curve_is_that_of_a_slow_count(
    rows: list[tuple[float, float]], threshold: float, share: float, failures: int
) -> None:
    mated = np.array([similarity for similarity, _ in rows])
    qualities = np.array([quality for _, quality in rows])
    (point,) = discard_curve(mated, qualities, threshold, [share], failures)
    # The highest limit on quality that discards no more than the share.
    limits = [limit for limit in sorted({*qualities.tolist()}) if (qualities < limit).mean() <= share]
    kept = [similarity for similarity, quality in rows if quality >= limits[-1]]
    assert (point.lowest_quality, point.discarded) == (limits[-1], len(rows) - len(kept))
    assert point.fnmr.count == sum(similarity < threshold for similarity in kept) + failures
    assert point.fnmr.total == len(kept) + failures
    assert point.ideal <= point.fnmr.value


@given(pairs, thresholds, st.sets(st.integers(1, 3), max_size=3))
def test_bins_hold_every_pair_once(rows: list[tuple[float, float]], threshold: float, inner: set[int]) -> None:
    similarities = np.array([similarity for similarity, _ in rows])
    qualities = np.array([quality for _, quality in rows])
    edges = np.array([0.0, *sorted(inner), 4.0])
    bins = rates_by_quality(similarities, qualities, similarities, qualities, threshold, edges)
    for found in bins:
        last = found.high == 4.0
        mine = [
            similarity
            for similarity, quality in rows
            if found.low <= quality < found.high or (last and quality == found.high)
        ]
        if not mine:
            assert (found.fnmr, found.fmr) == (None, None)
            continue
        assert found.fnmr is not None
        assert found.fmr is not None
        assert (found.fnmr.count, found.fnmr.total) == (sum(s < threshold for s in mine), len(mine))
        assert (found.fmr.count, found.fmr.total) == (sum(s >= threshold for s in mine), len(mine))


# Few distinct values, so that ties are common.
similarities = st.lists(st.integers(-8, 8).map(lambda i: i / 8), min_size=1, max_size=12).map(np.array)
PROVENANCE = Provenance("made", "0" * 64, 2, "none", date(2026, 11, 25), {})


@given(similarities, similarities)
def test_cllr_is_the_mean_of_its_terms(mated: np.ndarray, nonmated: np.ndarray) -> None:
    of_mated = sum(log2(1 + 1 / 10**value) for value in mated) / len(mated)
    of_nonmated = sum(log2(1 + 10**value) for value in nonmated) / len(nonmated)
    assert cllr(mated, nonmated) == pytest.approx((of_mated + of_nonmated) / 2)


@given(similarities, similarities)
def test_no_rising_map_costs_less_than_min_cllr(mated: np.ndarray, nonmated: np.ndarray) -> None:
    least = min_cllr(mated, nonmated)
    assert -1e-12 <= least <= 1.0 + 1e-12
    assert cllr(mated, nonmated) >= least - 1e-12
    for slope, shift in product((0.1, 1.0, 10.0), (-1.0, 0.0, 1.0)):
        assert cllr(mated * slope + shift, nonmated * slope + shift) >= least - 1e-12


@settings(max_examples=examples(50))
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_min_cllr_is_the_least_over_all_divisions_into_blocks(mated: list[int], nonmated: list[int]) -> None:
    values = sorted({*mated, *nonmated})
    best = inf
    # Every way to cut the values into neighbouring blocks; a block's best LR is its ratio of shares, if these rise.
    for cuts in product((False, True), repeat=len(values) - 1):
        block = dict(zip(values, np.cumsum([0, *cuts]).tolist(), strict=True))
        counts = [
            (sum(block[v] == b for v in mated) / len(mated), sum(block[v] == b for v in nonmated) / len(nonmated))
            for b in range(sum(cuts) + 1)
        ]
        ratios = [m / n if n else inf for m, n in counts]
        if ratios == sorted(ratios):
            terms = [m * log2(1 + n / m) for m, n in counts if m] + [n * log2(1 + m / n) for m, n in counts if n]
            best = min(best, sum(terms) / 2)
    found = min_cllr(np.array(mated, dtype=np.float64), np.array(nonmated, dtype=np.float64))
    assert found == pytest.approx(best, abs=1e-12)


@given(similarities, similarities)
def test_limits_are_borne_out_by_the_comparisons(mated: np.ndarray, nonmated: np.ndarray) -> None:
    def borne_out(log10_lr: float) -> float:
        of_mated = (mated >= log10_lr).sum() / (len(mated) + 1)
        return float(of_mated / (((nonmated >= log10_lr).sum() + 1) / (len(nonmated) + 1)))

    weakest, strongest = supported_limits(mated, nonmated)
    assert -np.log10(len(mated) + 1) < weakest <= 0.0 <= strongest < np.log10(len(nonmated) + 1)
    # Up to the limit, each LR of a fine grid is as frequent as it claims; just beyond, it is not.
    for log10_lr in np.linspace(1e-6, max(strongest - 1e-9, 1e-6), 20):
        assert log10_lr >= strongest or 10**log10_lr <= borne_out(float(log10_lr)) * (1 + 1e-9)
    assert borne_out(strongest + 1e-6) < 10 ** (strongest + 1e-6)
    # Exchanging the two kinds and the sign exchanges the limits.
    assert supported_limits(-nonmated, -mated) == (-strongest, -weakest)


@given(similarities, similarities)
def test_steps_rise_and_stay_within_their_limits(mated: np.ndarray, nonmated: np.ndarray) -> None:
    found = fit_steps(mated, nonmated)
    stated = found.log10_lrs(np.linspace(-2, 2, 81))
    assert (np.diff(stated) >= 0).all()
    assert stated.min() >= -np.log10(len(mated) + 1)
    assert stated.max() <= np.log10(len(nonmated) + 1)


@given(similarities, similarities, st.sampled_from([0.5, 0.1, 0.9]))
def test_no_line_near_the_logistic_curve_costs_less(mated: np.ndarray, nonmated: np.ndarray, prior: float) -> None:
    try:
        found = fit_logistic(mated, nonmated, prior).curve
    except UndefinedRate:
        overlap = mated.min() < nonmated.max() and nonmated.min() < mated.max()
        assert not overlap or mated.mean() <= nonmated.mean() + 1e-9
        return

    def cost(intercept: float, slope: float) -> float:
        odds = np.log(prior / (1 - prior))
        of_mated = np.logaddexp(0, -(intercept + slope * mated) * np.log(10) - odds).mean()
        of_nonmated = np.logaddexp(0, (intercept + slope * nonmated) * np.log(10) + odds).mean()
        return float(prior * of_mated + (1 - prior) * of_nonmated)

    a, b = found.log10_lrs(np.array([0.0, 1.0]))
    least = cost(a, b - a)
    for more, steeper in product((-0.01, 0.0, 0.01), repeat=2):
        assert cost(a + more, b - a + steeper) >= least - 1e-12


@given(similarities, similarities, st.integers(0, 3))
def test_a_table_of_few_comparisons_is_exact(mated: np.ndarray, nonmated: np.ndarray, failures: int) -> None:
    table = rate_table(mated, nonmated, mated_failures=failures)
    for threshold in [*mated, *nonmated]:
        # The threshold itself need not be a row; the counts of its neighbours are the same.
        assert table.fmr_at(threshold).count >= (nonmated >= threshold).sum()
        assert table.fnmr_at(threshold).count >= (mated < threshold).sum() + failures
    for row, matches, misses in zip(table.thresholds, table.false_matches, table.false_non_matches, strict=True):
        assert (matches, misses) == ((nonmated >= row).sum(), (mated < row).sum() + failures)
    for allowed in range(1, len(nonmated)):
        target = allowed / len(nonmated)
        assert table.threshold_at_fmr(target) <= threshold_at_fmr(nonmated, target)
        assert table.fmr_at(table.threshold_at_fmr(target)).value <= target


@given(similarities, similarities, st.floats(1e-6, 1 - 1e-6), st.integers(1, 10**9))
def test_the_threshold_for_a_search_keeps_what_it_promises(
    mated: np.ndarray, nonmated: np.ndarray, target: float, gallery_size: int
) -> None:
    found = fit_calibration(mated, nonmated, PROVENANCE, fit=fit_steps)
    try:
        threshold = found.threshold_at_fpir(target, gallery_size)
    except UndefinedRate:
        assert 1 - (1 - 1 / len(nonmated)) ** gallery_size > target * (1 - 1e-9)
        return
    assert found.fpir_at(threshold, gallery_size).value <= target * (1 + 1e-9)


texts = st.text(max_size=MOST_CHARACTERS)


@given(
    similarities,
    similarities,
    st.integers(0, 3),
    st.integers(0, 3),
    st.dictionaries(texts, texts, max_size=MOST_SETTINGS),
)
def test_a_calibration_comes_back_from_json(
    mated: np.ndarray, nonmated: np.ndarray, failed: int, failed_too: int, notes: dict[str, str]
) -> None:
    provenance = replace(PROVENANCE, settings=notes)
    found = fit_calibration(
        mated, nonmated, provenance, mated_failures=failed, nonmated_failures=failed_too, fit=fit_steps
    )
    assert from_json(to_json(found)) == found
