"""Scoring against scikit-learn, SciPy and other tool kits."""

from math import log

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.auc import auc
from fr_core.scoring.bootstrap import fmr_statistic, subject_bootstrap
from fr_core.scoring.calibrators import fit_logistic, supported_limits
from fr_core.scoring.det import det_curve, equal_error_rate
from fr_core.scoring.differentials import max_to_min, ratios_to_geometric_mean
from fr_core.scoring.gallery_sizes import mated_at_sizes, nonmated_at_sizes
from fr_core.scoring.identification import MatedSearches, cmc, fnir, fpir, identification_det
from fr_core.scoring.likelihood import brier, log_loss, min_cllr
from fr_core.scoring.pav import pool, runs
from fr_core.scoring.rejection import rates_by_quality
from fr_core.scoring.support import rule_of_three
from support.lazy_module import LazyModule

F64 = npt.NDArray[np.float64]

isotonic = LazyModule("sklearn.isotonic")
linear_model = LazyModule("sklearn.linear_model")
metrics = LazyModule("sklearn.metrics")
optimize = LazyModule("scipy.optimize")
stats = LazyModule("scipy.stats")

PEOPLE = 200


@pytest.fixture(scope="module")
def gallery() -> F64:
    """f64[300, 200]: similarities of 300 probes to everybody; probe i is of person i % 200."""
    rng = np.random.default_rng(11)
    similarities = rng.normal(0.1, 0.1, (300, PEOPLE))
    similarities[np.arange(300), np.arange(300) % PEOPLE] += rng.normal(0.25, 0.15, 300)
    return similarities


def mated_of(gallery: F64, list_length: int) -> MatedSearches:
    person = np.arange(len(gallery)) % PEOPLE
    mates = gallery[np.arange(len(gallery)), person]
    ranks = 1 + (gallery > mates[:, None]).sum(axis=1)
    ranks[ranks > list_length] = 0
    return MatedSearches(ranks, mates, PEOPLE, list_length)


def test_cmc_agrees_with_top_k_accuracy_and_grows_to_the_gallery(gallery: F64) -> None:
    person = np.arange(len(gallery)) % PEOPLE
    found = cmc(mated_of(gallery, 20))
    for rank in (1, 2, 5, 10, 20):
        expected = metrics.top_k_accuracy_score(person, gallery, k=rank, labels=np.arange(PEOPLE))
        assert found[rank - 1].value == pytest.approx(expected, abs=1e-12)
    assert 0.3 < found[0].value < found[-1].value < 1.0
    whole = mated_of(gallery, PEOPLE)
    others = np.array([np.delete(row, number % PEOPLE) for number, row in enumerate(gallery)])
    grown = mated_at_sizes(whole.similarities, [others[:, :50], others[:, 50:]], [10, PEOPLE])[1]
    assert grown.ranks.tolist() == whole.ranks.tolist()
    assert fnir(grown, 0.3, rank=5) == fnir(whole, 0.3, rank=5)
    strangers = nonmated_at_sizes([gallery], [PEOPLE])[0]
    assert fpir(strangers, 0.4).count == int((gallery.max(axis=1) >= 0.4).sum())


def test_det_agrees_with_scikit_learn(gallery: F64) -> None:
    mated = mated_of(gallery, PEOPLE)  # every mate is on the list, so that misses come from the threshold alone
    nonmated = nonmated_at_sizes([np.random.default_rng(12).normal(0.1, 0.1, (400, PEOPLE))], [PEOPLE])[0]
    truth = np.repeat([True, False], [300, 400])
    scores = np.concatenate([mated.similarities, nonmated.top_similarities])
    fpr, fnr, thresholds = metrics.det_curve(truth, scores)
    det = identification_det(mated, nonmated)
    at = np.searchsorted(det.thresholds, thresholds[np.isfinite(thresholds)])
    assert len(at) > 200
    assert det.thresholds[at] == pytest.approx(thresholds[np.isfinite(thresholds)])
    order = np.argsort(at)
    assert det.fpir[at][order] == pytest.approx(fpr[np.isfinite(thresholds)][order], abs=1e-12)
    assert det.fnir[at][order] == pytest.approx(fnr[np.isfinite(thresholds)][order], abs=1e-12)


def test_ratios_and_bins_agree_with_scipy() -> None:
    rates = np.random.default_rng(13).uniform(1e-6, 1e-2, 9)
    assert ratios_to_geometric_mean(rates) == pytest.approx(rates / stats.gmean(rates))
    assert max_to_min(rates) == pytest.approx(rates.max() / rates.min())
    rng = np.random.default_rng(14)
    similarities, qualities = rng.uniform(size=(2, 500))
    edges = np.linspace(0.0, 1.0, 6)
    bins = rates_by_quality(similarities, qualities, similarities, qualities, 0.4, edges)
    missed = stats.binned_statistic(qualities, similarities < 0.4, statistic="mean", bins=edges).statistic
    assert [found.fnmr.value for found in bins if found.fnmr] == pytest.approx(missed.tolist())
    assert [found.fmr.value for found in bins if found.fmr] == pytest.approx((1 - missed).tolist())


def overlapping(seed: int) -> tuple[F64, F64]:
    """Mated and non-mated similarities that overlap, with ties."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.4, 0.15, 300).round(2), rng.normal(0.1, 0.12, 900).round(2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("prior", [0.5, 0.1])
def test_the_logistic_curve_is_that_of_scikit_learn(seed: int, prior: float) -> None:
    mated, nonmated = overlapping(seed)
    similarities, truth = np.concatenate([mated, nonmated]), np.repeat([1, 0], [len(mated), len(nonmated)])
    weights = np.where(truth == 1, prior / len(mated), (1 - prior) / len(nonmated)) * len(truth)
    peer = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    peer.fit(similarities[:, None], truth, sample_weight=weights)
    expected = (peer.decision_function(similarities[:, None]) - log(prior / (1 - prior))) / log(10)
    assert fit_logistic(mated, nonmated, prior).curve.log10_lrs(similarities) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_pooling_and_min_cllr_are_those_of_an_isotonic_regression(seed: int) -> None:
    mated, nonmated = overlapping(seed)
    similarities, truth = np.concatenate([mated, nonmated]), np.repeat([1.0, 0.0], [len(mated), len(nonmated)])
    expected = isotonic.IsotonicRegression().fit_transform(similarities, truth)
    found = runs(mated, nonmated)
    first = pool(found.mated, found.nonmated)
    mates, others = np.add.reduceat(found.mated, first), np.add.reduceat(found.nonmated, first)
    place = np.searchsorted(found.starts[first], similarities, side="right") - 1
    assert (mates / (mates + others))[place] == pytest.approx(expected, abs=1e-12)
    weights = np.where(truth == 1, 1 / len(mated), 1 / len(nonmated))
    probabilities = isotonic.IsotonicRegression().fit_transform(similarities, truth, sample_weight=weights)
    expected = metrics.log_loss(truth, probabilities, sample_weight=weights) / log(2)
    assert min_cllr(mated, nonmated) == pytest.approx(expected, abs=1e-9)


def test_brier_and_log_loss_are_those_of_scikit_learn() -> None:
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
def test_limits_are_those_of_lir(mated: list[float], nonmated: list[float], weakest: float, strongest: float) -> None:
    low, high = supported_limits(np.log10(mated), np.log10(nonmated))
    assert (10**low, 10**high) == pytest.approx((weakest, strongest), rel=0.012)


def similarities(seed: int, decimals: int) -> tuple[F64, F64]:
    """300 mated and 2000 non-mated ones; with few decimals many are tied."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.5, 0.2, 300).round(decimals), rng.normal(0.1, 0.2, 2000).round(decimals)


def labelled(mated: F64, nonmated: F64) -> tuple[npt.NDArray[np.int64], F64]:
    labels = np.repeat([1, 0], [len(mated), len(nonmated)])
    return labels, np.concatenate([mated, nonmated])


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_det_curve_equal_error_rate_and_area(decimals: int) -> None:
    mated, nonmated = similarities(1, decimals)
    fmr, fnmr, thresholds = metrics.det_curve(*labelled(mated, nonmated))
    curve = det_curve(mated, nonmated)
    # scikit-learn leaves out the point that accepts nothing, and repeats of the two ends.
    inside = np.isin(curve.thresholds, thresholds)
    assert inside.sum() == len(thresholds)
    np.testing.assert_allclose(curve.fmr[inside], fmr, atol=1e-12)
    np.testing.assert_allclose(curve.fnmr[inside], fnmr, atol=1e-12)
    assert (curve.fmr[-1], curve.fnmr[-1]) == (0.0, 1.0)
    mated, nonmated = similarities(2, decimals)
    false, true, _ = metrics.roc_curve(*labelled(mated, nonmated))
    crossing = optimize.brentq(lambda x: 1.0 - x - np.interp(x, false, true), 0.0, 1.0)
    assert equal_error_rate(det_curve(mated, nonmated)).value == pytest.approx(crossing, abs=1e-9)
    mated, nonmated = similarities(3, decimals)
    area = auc(mated, nonmated)
    assert area == pytest.approx(metrics.roc_auc_score(*labelled(mated, nonmated)), abs=1e-12)
    assert area == pytest.approx(stats.mannwhitneyu(mated, nonmated).statistic / (300 * 2000), abs=1e-12)


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
