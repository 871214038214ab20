"""Identification, groups and quality against scikit-learn and SciPy."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.differentials import max_to_min, ratios_to_geometric_mean
from fr_core.scoring.gallery_sizes import mated_at_sizes, nonmated_at_sizes
from fr_core.scoring.identification import MatedSearches, cmc, fnir, fpir, identification_det
from fr_core.scoring.rejection import rates_by_quality

F64 = npt.NDArray[np.float64]

metrics = import_module("sklearn.metrics")
stats = import_module("scipy.stats")

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


def test_cmc_agrees_with_top_k_accuracy(gallery: F64) -> None:
    person = np.arange(len(gallery)) % PEOPLE
    found = cmc(mated_of(gallery, 20))
    for rank in (1, 2, 5, 10, 20):
        expected = metrics.top_k_accuracy_score(person, gallery, k=rank, labels=np.arange(PEOPLE))
        assert found[rank - 1].value == pytest.approx(expected, abs=1e-12)
    assert 0.3 < found[0].value < found[-1].value < 1.0


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


def test_the_largest_gallery_of_a_curve_is_the_gallery(gallery: F64) -> None:
    whole = mated_of(gallery, PEOPLE)
    others = np.array([np.delete(row, number % PEOPLE) for number, row in enumerate(gallery)])
    grown = mated_at_sizes(whole.similarities, [others[:, :50], others[:, 50:]], [10, PEOPLE])[1]
    assert grown.ranks.tolist() == whole.ranks.tolist()
    assert fnir(grown, 0.3, rank=5) == fnir(whole, 0.3, rank=5)
    strangers = nonmated_at_sizes([gallery], [PEOPLE])[0]
    assert fpir(strangers, 0.4).count == int((gallery.max(axis=1) >= 0.4).sum())


def test_ratios_agree_with_scipys_geometric_mean() -> None:
    rates = np.random.default_rng(13).uniform(1e-6, 1e-2, 9)
    assert ratios_to_geometric_mean(rates) == pytest.approx(rates / stats.gmean(rates))
    assert max_to_min(rates) == pytest.approx(rates.max() / rates.min())


def test_bins_agree_with_scipy() -> None:
    rng = np.random.default_rng(14)
    similarities, qualities = rng.uniform(size=(2, 500))
    edges = np.linspace(0.0, 1.0, 6)
    bins = rates_by_quality(similarities, qualities, similarities, qualities, 0.4, edges)
    missed = stats.binned_statistic(qualities, similarities < 0.4, statistic="mean", bins=edges).statistic
    assert [found.fnmr.value for found in bins if found.fnmr] == pytest.approx(missed.tolist())
    assert [found.fmr.value for found in bins if found.fmr] == pytest.approx((1 - missed).tolist())
