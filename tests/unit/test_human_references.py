"""The statistics of human answers against SciPy and scikit-learn, which compute them in other ways."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from fr_core.scoring.intervals import UndefinedRate
from fr_training.statistics import estimates
from fr_training.statistics.agreement import kappa, mcnemar
from fr_training.statistics.estimates import Term, beta_below, central_interval, f_quantile
from fr_training.statistics.item_response import eap, mle, probability
from fr_training.statistics.signal_detection import difference, sensitivity

LEVELS = (-3, -2, -1, 0, 1, 2, 3)


def test_normal_distribution() -> None:
    stats, special = import_module("scipy.stats"), import_module("scipy.special")
    z = np.linspace(-30, 8, 77)
    assert estimates.cdf(z) == pytest.approx(stats.norm.cdf(z), rel=1e-12)
    assert estimates.log_cdf(z) == pytest.approx(special.log_ndtr(z), rel=1e-10, abs=1e-15)
    shares = np.linspace(0.001, 0.999, 99)
    assert estimates.quantiles(shares) == pytest.approx(stats.norm.ppf(shares), abs=1e-12)


@pytest.mark.parametrize(
    ("hits", "mated", "false_alarms", "nonmated"), [(13, 20, 4, 20), (20, 20, 0, 20), (9, 9, 1, 3)]
)
def test_intervals_are_those_of_random_draws_of_the_posterior(
    hits: int, mated: int, false_alarms: int, nonmated: int
) -> None:
    stats = import_module("scipy.stats")
    rng = np.random.default_rng(1)
    z_hits = stats.norm.ppf(rng.beta(hits + 0.5, mated - hits + 0.5, 400_000))
    z_false = stats.norm.ppf(rng.beta(false_alarms + 0.5, nonmated - false_alarms + 0.5, 400_000))
    found = sensitivity(hits, mated, false_alarms, nonmated)
    for one, drawn in ((found.dprime, z_hits - z_false), (found.criterion, -(z_hits + z_false) / 2)):
        ends = np.quantile(drawn, [0.025, 0.975])
        assert [one.low, one.high] == pytest.approx(ends.tolist(), abs=0.03)


@pytest.mark.parametrize(
    ("hits", "mated", "off"),
    [(13, 20, 1e-4), (20, 20, 1e-4), (0, 5, 1e-4), (170, 200, 1e-4), (500_000, 1_000_000, 3e-6)],
)
def test_interval_of_one_rate_is_jeffreys(hits: int, mated: int, off: float) -> None:
    """Of one term alone, the ends are the quantiles of a beta distribution."""
    stats = import_module("scipy.stats")
    found = central_interval([Term(1.0, hits, mated)])
    wanted = stats.norm.ppf(stats.beta.ppf([0.025, 0.975], hits + 0.5, mated - hits + 0.5))
    assert list(found) == pytest.approx(wanted.tolist(), abs=off)


def test_interval_of_a_difference_is_that_of_random_draws() -> None:
    stats = import_module("scipy.stats")
    rng = np.random.default_rng(2)

    def drawn(count: int, total: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        z = stats.norm.ppf(rng.beta(count + 0.5, total - count + 0.5, 400_000))
        return np.asarray(z, dtype=np.float64)

    of_a, of_b = -(drawn(8, 9) + drawn(2, 3)) / 2, -(drawn(2, 3) + drawn(1, 9)) / 2
    found = difference(sensitivity(8, 9, 2, 3), sensitivity(2, 3, 1, 9)).criterion
    assert [found.low, found.high] == pytest.approx(np.quantile(of_a - of_b, [0.025, 0.975]).tolist(), abs=0.03)


def test_beta_and_f_distributions() -> None:
    special, stats = import_module("scipy.special"), import_module("scipy.stats")
    for a in (0.5, 1.0, 3.0, 40.0, 2000.5):
        for b in (0.5, 2.0, 17.5, 900.0):
            for x in (1e-6, 0.01, 0.3, 0.5, 0.77, 0.999):
                assert beta_below(x, a, b) == pytest.approx(float(special.betainc(a, b, x)), rel=1e-9, abs=1e-14)
    for above, below in ((1, 1), (5, 15), (3.7, 5), (200, 2), (40, 4000)):
        for share in (0.001, 0.025, 0.5, 0.975, 0.999):
            assert f_quantile(share, above, below) == pytest.approx(float(stats.f.ppf(share, above, below)), rel=1e-8)
    with pytest.raises(ValueError, match="nothing"):
        beta_below(1.5, 1.0, 1.0)
    with pytest.raises(ValueError, match="quantile"):
        f_quantile(1.0, 1.0, 1.0)


def test_kappa() -> None:
    metrics = import_module("sklearn.metrics")
    rng = np.random.default_rng(3)
    first = rng.integers(-3, 4, 60)
    second = np.clip(first + rng.integers(-2, 3, 60), -3, 3)
    for power, word in ((1, "linear"), (2, "quadratic")):
        wanted = metrics.cohen_kappa_score(first, second, labels=list(LEVELS), weights=word)
        assert kappa(first, second, LEVELS, power).value == pytest.approx(float(wanted))


def test_mcnemar() -> None:
    stats = import_module("scipy.stats")
    for first, second in ((10, 2), (0, 7), (33, 50), (5, 5)):
        wanted = stats.binomtest(first, first + second, 0.5).pvalue
        assert mcnemar(first, second) == pytest.approx(float(wanted))
    with pytest.raises(UndefinedRate):
        mcnemar(0, 0)
    with pytest.raises(ValueError, match="from 0"):
        mcnemar(-1, 3)


def test_abilities() -> None:
    optimize, integrate, stats = (import_module(f"scipy.{part}") for part in ("optimize", "integrate", "stats"))
    rng = np.random.default_rng(4)
    b = rng.normal(size=25)
    x = rng.random(25) < probability(0.7, b, 0.5)

    def likelihood(theta: float) -> float:
        p = probability(theta, b, 0.5)
        return float(np.prod(np.where(x, p, 1 - p)))

    top = optimize.minimize_scalar(lambda theta: -likelihood(theta), bounds=(-4, 4), method="bounded").x
    likeliest = mle(b, x, 0.5)
    assert likeliest.theta == pytest.approx(float(top), abs=1e-4)
    margin = 1.959964 * likeliest.sd
    assert [likeliest.low, likeliest.high] == pytest.approx([likeliest.theta - margin, likeliest.theta + margin])
    total, mean, square = (
        integrate.quad(lambda t, n=power: t**n * likelihood(t) * stats.norm.pdf(t), -8, 8)[0] for power in range(3)
    )
    found = eap(b, x, 0.5)
    assert found.theta == pytest.approx(mean / total, abs=1e-3)
    assert found.sd == pytest.approx(np.sqrt(square / total - (mean / total) ** 2), abs=1e-3)
    for end, share in ((found.low, 0.025), (found.high, 0.975)):
        below = integrate.quad(lambda t: likelihood(t) * stats.norm.pdf(t), -8, end)[0] / total
        assert below == pytest.approx(share, abs=2e-3)
