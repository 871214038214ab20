"""Calibrations by property: each figure against a slow direct computation, whatever the similarities."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import product
from math import inf, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.scoring.calibration import MOST_CHARACTERS, MOST_SETTINGS, Provenance, fit_calibration
from fr_core.scoring.calibration_json import from_json, to_json
from fr_core.scoring.calibrators import fit_logistic, fit_steps, supported_limits
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.likelihood import cllr, min_cllr
from fr_core.scoring.rate_table import rate_table
from fr_core.scoring.verification import threshold_at_fmr
from support.counts import examples

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
