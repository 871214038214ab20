"""Strength of evidence against independent implementations: scikit-learn, and figures of other tool kits."""

from __future__ import annotations

from importlib import import_module
from math import log

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.calibrators import fit_logistic, supported_limits
from fr_core.scoring.likelihood import brier, log_loss, min_cllr
from fr_core.scoring.pav import pool, runs

F64 = npt.NDArray[np.float64]


def comparisons(seed: int) -> tuple[F64, F64]:
    """Mated and non-mated similarities that overlap, with ties."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.4, 0.15, 300).round(2), rng.normal(0.1, 0.12, 900).round(2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("prior", [0.5, 0.1])
def test_the_logistic_curve_is_that_of_scikit_learn(seed: int, prior: float) -> None:
    linear_model = import_module("sklearn.linear_model")
    mated, nonmated = comparisons(seed)
    similarities, truth = np.concatenate([mated, nonmated]), np.repeat([1, 0], [len(mated), len(nonmated)])
    weights = np.where(truth == 1, prior / len(mated), (1 - prior) / len(nonmated)) * len(truth)
    peer = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    peer.fit(similarities[:, None], truth, sample_weight=weights)
    expected = (peer.decision_function(similarities[:, None]) - log(prior / (1 - prior))) / log(10)
    assert fit_logistic(mated, nonmated, prior).curve.log10_lrs(similarities) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_pooling_is_the_isotonic_regression_of_scikit_learn(seed: int) -> None:
    isotonic = import_module("sklearn.isotonic")
    mated, nonmated = comparisons(seed)
    similarities, truth = np.concatenate([mated, nonmated]), np.repeat([1.0, 0.0], [len(mated), len(nonmated)])
    expected = isotonic.IsotonicRegression().fit_transform(similarities, truth)
    found = runs(mated, nonmated)
    first = pool(found.mated, found.nonmated)
    mates, others = np.add.reduceat(found.mated, first), np.add.reduceat(found.nonmated, first)
    place = np.searchsorted(found.starts[first], similarities, side="right") - 1
    assert (mates / (mates + others))[place] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_min_cllr_is_the_balanced_log_loss_of_an_isotonic_regression(seed: int) -> None:
    isotonic = import_module("sklearn.isotonic")
    metrics = import_module("sklearn.metrics")
    mated, nonmated = comparisons(seed)
    similarities, truth = np.concatenate([mated, nonmated]), np.repeat([1.0, 0.0], [len(mated), len(nonmated)])
    weights = np.where(truth == 1, 1 / len(mated), 1 / len(nonmated))
    probabilities = isotonic.IsotonicRegression().fit_transform(similarities, truth, sample_weight=weights)
    expected = metrics.log_loss(truth, probabilities, sample_weight=weights) / log(2)
    assert min_cllr(mated, nonmated) == pytest.approx(expected, abs=1e-9)


def test_brier_and_log_loss_are_those_of_scikit_learn() -> None:
    metrics = import_module("sklearn.metrics")
    rng = np.random.default_rng(9)
    probabilities, truth = rng.uniform(0.01, 0.99, 500), rng.random(500) < 0.4
    assert brier(probabilities, truth) == pytest.approx(metrics.brier_score_loss(truth, probabilities))
    assert log_loss(probabilities, truth) == pytest.approx(metrics.log_loss(truth, probabilities))


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
def test_the_limits_are_the_empirical_bounds_of_another_tool_kit(
    mated: list[float], nonmated: list[float], weakest: float, strongest: float
) -> None:
    low, high = supported_limits(np.log10(mated), np.log10(nonmated))
    assert (10**low, 10**high) == pytest.approx((weakest, strongest), rel=0.012)
