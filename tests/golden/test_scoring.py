"""Scoring against SciPy and LiR."""

import numpy as np
import pytest

from fr_core.scoring.bootstrap import fmr_statistic, subject_bootstrap
from fr_core.scoring.calibrators import supported_limits
from fr_core.scoring.support import rule_of_three
from support.lazy_module import LazyModule

stats = LazyModule("scipy.stats")


@pytest.mark.parametrize(
    ("mated", "nonmated", "weakest", "strongest"),
    [
        # LiR, Netherlands Forensic Institute, tests/test_elub.py, with one misleading LR added; its grid is 1 % wide.
        ([1e9], [1e-9], 1.0, 1.0),
        ([1e9, 1e9, 1e9], [1e-9, 1e-9, 1e-9], 0.3362165, 2.9742741),
        ([0.01, 0.1, 1.0], [10.0, 100.0], 1.0, 1.0),
        ([1.0, 10.0, 100.0], [0.01, 0.1], 0.3771282, 1.4990474),
        ([10.0, 100.0], [0.01, 0.1, 1.0], 0.6668633, 2.6507161),
        ([1.0], [1.0], 1.0, 1.0),
        ([10.0] * 9, [10.0], 1.0, 1.0),
    ],
)
def test_limits_are_those_of_lir(mated: list[float], nonmated: list[float], weakest: float, strongest: float) -> None:
    low, high = supported_limits(np.log10(mated), np.log10(nonmated))
    assert (10**low, 10**high) == pytest.approx((weakest, strongest), rel=0.012)


@pytest.mark.parametrize("comparisons", [300, 10_000, 667_590])
def test_the_rule_of_three_is_the_exact_limit_rounded_up(comparisons: int) -> None:
    test = stats.binomtest(0, comparisons, alternative="less")
    exact = test.proportion_ci(0.95, method="exact").high
    assert exact <= rule_of_three(comparisons) <= exact * 1.01


def test_resampling_people_of_one_comparison_each_is_resampling_comparisons() -> None:
    scores = np.random.default_rng(4).normal(size=400)
    people = np.arange(400)
    found = subject_bootstrap(fmr_statistic(scores, 1.0), people, people, seed=5, replicates=4000)
    accepted = (scores >= 1.0).astype(np.float64)
    other = stats.bootstrap((accepted,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(6))
    assert found.value == accepted.mean()
    assert (found.low, found.high) == pytest.approx(tuple(other.confidence_interval), abs=0.004)
    assert found.standard_error == pytest.approx(float(other.standard_error), rel=0.05)
