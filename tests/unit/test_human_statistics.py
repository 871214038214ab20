"""The statistics of human answers: agreement, item response, and the references of SciPy and scikit-learn."""

from collections.abc import Callable
from functools import partial
from math import comb

import numpy as np
import pytest

from fr_core.scoring.intervals import UndefinedRate, rate
from fr_core.types import I64
from fr_locales.messages import message
from fr_training.statistics import estimates
from fr_training.statistics.agreement import icc_agreement, icc_consistency, kappa, mcnemar
from fr_training.statistics.change import Verdict, change_of_tests, percentile_in, percentile_of_norm
from fr_training.statistics.estimates import Term, beta_below, central_interval, difference_of_rates, f_quantile
from fr_training.statistics.item_analysis import human_difficulty, item_figures
from fr_training.statistics.item_response import (
    eap,
    information,
    mle,
    probability,
    update_difficulty,
)
from fr_training.statistics.signal_detection import difference, sensitivity
from support.lazy_module import LazyModule

stats, special = LazyModule("scipy.stats"), LazyModule("scipy.special")
optimize, integrate = LazyModule("scipy.optimize"), LazyModule("scipy.integrate")
metrics = LazyModule("sklearn.metrics")
LEVELS = (-3, -2, -1, 0, 1, 2, 3)
# P. E. Shrout and J. L. Fleiss (1979), table 2: six targets, four judges
JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=np.float64
)


def test_intraclass_correlations_of_the_published_example() -> None:
    agreement, consistency = icc_agreement(JUDGES), icc_consistency(JUDGES)
    assert agreement.value == pytest.approx(0.29, abs=0.005)
    assert consistency.value == pytest.approx(0.71, abs=0.005)
    assert [agreement.low, agreement.high] == pytest.approx([0.019, 0.761], abs=5e-4)
    assert [consistency.low, consistency.high] == pytest.approx([0.342, 0.946], abs=5e-4)
    assert (agreement.subjects, agreement.raters) == (6, 4)


def test_kappas_interval_covers_what_it_says() -> None:
    """Two people who rate 100 pairs, each the truth or a neighbour of it; the true kappa is that of very many pairs."""
    rng = np.random.default_rng(3)

    def rated(n: int) -> tuple[I64, I64]:
        truth = rng.integers(-3, 4, n)
        first, second = (np.clip(truth + rng.integers(-1, 2, n), -3, 3) for _ in range(2))
        return first, second

    true = kappa(*rated(400_000), LEVELS, 2).value
    runs = 500
    found = [kappa(*rated(100), LEVELS, 2) for _ in range(runs)]
    covered = sum(one.low <= true <= one.high for one in found)
    assert covered >= 0.91 * runs
    scatter = float(np.std([one.value for one in found]))
    assert float(np.mean([one.standard_error for one in found])) == pytest.approx(scatter, rel=0.15)


def test_percentiles_of_a_norm_and_in_a_cohort() -> None:
    assert percentile_of_norm(82.9, 82.9, 7.46) == pytest.approx(50.0)
    assert percentile_of_norm(82.9 + 1.959964 * 7.46, 82.9, 7.46) == pytest.approx(97.5)
    cohort = np.array([60.0, 70.0, 70.0, 80.0])
    assert percentile_in(70.0, cohort) == pytest.approx(50.0)
    assert percentile_in(80.0, cohort) == pytest.approx(100 - 50 / 4)
    assert percentile_in(60.0, cohort) == pytest.approx(50 / 4)
    assert percentile_in(10.0, cohort) == 0.0


def test_changes_of_long_tests_and_differences_of_shares_of_published_examples() -> None:
    # R. G. Newcombe (1998), table II, method 10
    for counts, low, high in [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((10, 10, 0, 20), 0.6791, 1.0),
    ]:
        found = difference_of_rates(*counts)
        assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)
    change = change_of_tests((800, 1000), (900, 1000), 7.46, 0.774)
    assert change.needed == pytest.approx(9.83, abs=0.005)
    assert change.points == pytest.approx(10.0)
    assert change.index == pytest.approx(10.0 * 1.959964 / change.needed)
    assert change.verdict == Verdict.BETTER
    assert change_of_tests((900, 1000), (800, 1000), 7.46, 0.774).verdict == Verdict.WORSE


@pytest.mark.parametrize("pairs", [20, 40, 80])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.81, 0.9, 0.97])
def test_unchanged_people_are_seldom_said_to_have_changed(pairs: int, share: float) -> None:
    chances = [comb(pairs, right) * share**right * (1 - share) ** (pairs - right) for right in range(pairs + 1)]
    said = sum(
        chances[before] * chances[after]
        for before in range(pairs + 1)
        for after in range(pairs + 1)
        if change_of_tests((before, pairs), (after, pairs), 7.46, 0.774).verdict != Verdict.NO_RELIABLE_CHANGE
    )
    assert said < 0.06


B = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
X = np.array([True, True, True, False, False])
ALL = np.ones(5, dtype=np.bool_)
GUESSED = np.arange(20) < 6  # of pairs, half are right by guessing


@pytest.mark.parametrize("g", [0.0, 1 / 3, 0.5])
def test_probability_has_guessing_as_its_floor_and_information_is_slope_squared_over_variance(g: float) -> None:
    found = probability(np.array([-800.0, 0.0, 800.0]), 0.0, 1 / 3)
    assert found.tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert float(probability(1.0, 0.0)) == pytest.approx(1 / (1 + np.exp(-1.0)))
    theta = np.linspace(-3, 3, 13)
    slope = (probability(theta + 1e-6, 0.4, g) - probability(theta - 1e-6, 0.4, g)) / 2e-6
    p = probability(theta, 0.4, g)
    assert information(theta, 0.4, g) == pytest.approx(slope**2 / (p * (1 - p)), rel=1e-6)


def test_abilities_without_answers_of_other_guessing_and_without_a_likeliest_one() -> None:
    none = np.array([]), np.array([], dtype=np.bool_)
    found = eap(*none, mean=1.0, sd=0.5)
    assert found.theta == pytest.approx(1.0)
    assert found.sd == pytest.approx(0.5, abs=1e-3)
    assert [found.low, found.high] == pytest.approx([1 - 0.98, 1 + 0.98], abs=0.01)
    assert eap(B, X, np.full(5, 1 / 3)).theta == pytest.approx(eap(B, X, 1 / 3).theta)
    mixed = eap(B, X, np.array([0.5, 0.5, 0.5, 1 / 3, 1 / 3])).theta
    assert eap(B, X, 0.5).theta != mixed
    for x in (ALL, ~ALL):
        assert np.isfinite(eap(B, x).theta)
    assert eap(np.zeros(20), GUESSED, 0.5).theta < -0.5


def test_posterior_covers_what_it_says_over_the_prior() -> None:
    rng = np.random.default_rng(2)
    runs = 2000
    covered = 0
    off = []
    for _ in range(runs):
        theta, b = rng.normal(), rng.normal(size=40)
        found = eap(b, rng.random(40) < probability(theta, b, 0.5), 0.5)
        covered += found.low <= theta <= found.high
        off.append(found.theta - theta)
    assert 1871 <= covered <= 1929  # 1900, give or take 3 standard deviations of 9.7
    assert abs(np.mean(off)) < 3 * np.std(off) / np.sqrt(runs)


def test_an_item_with_a_wrong_key_is_found_and_one_that_tells_nothing_has_no_correlation() -> None:
    rng = np.random.default_rng(4)
    theta, b = rng.normal(size=200), rng.normal(size=30)
    answers = (rng.random((200, 30)) < probability(theta[:, None], b[None, :], 0.0)).astype(np.float64)
    answers[:, 7] = 1 - answers[:, 7]
    below = [place for place, one in enumerate(item_figures(answers)) if one.high is not None and one.high < 0.0]
    assert below == [7]
    odd = np.array([[1, 1, np.nan], [1, 0, np.nan], [1, 1, np.nan], [1, 0, np.nan], [1, 1, np.nan]])
    alike, constant_rest, unanswered = item_figures(odd)
    assert alike.correlation is None
    assert alike.note == message("undefined.answers_alike")
    assert constant_rest.correlation is None
    assert unanswered.right is None
    assert unanswered.people == 0
    assert unanswered.note == message("undefined.few_people", least=4)
    odd = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1]], dtype=np.float64)
    found = item_figures(odd)[0]
    # The item itself is left out of the total.
    assert found.correlation == pytest.approx(np.corrcoef(odd[:, 0], odd[:, 1:].sum(axis=1))[0, 1])
    assert found.right == rate(3, 5)


def test_difficulty_from_peoples_answers() -> None:
    rng = np.random.default_rng(6)
    theta = rng.normal(size=2000)
    right = rng.random(2000) < probability(theta, 0.7, 0.5)
    found = human_difficulty(theta, right, 0.5)
    assert found.b == pytest.approx(0.7, abs=3 * found.sd)
    assert found.low < found.b < found.high
    assert found.sd < 0.15
    assert [update_difficulty(*of) for of in ((1.0, 2.0, 10), (1.0, 2.0, 0), (0.4, -0.8, 5))] == pytest.approx(
        [1.5, 1, 0]
    )


def test_normal_beta_and_f_distributions() -> None:
    z = np.linspace(-30, 8, 77)
    assert estimates.cdf(z) == pytest.approx(stats.norm.cdf(z), rel=1e-12)
    assert estimates.log_cdf(z) == pytest.approx(special.log_ndtr(z), rel=1e-10, abs=1e-15)
    shares = np.linspace(0.001, 0.999, 99)
    assert estimates.quantiles(shares) == pytest.approx(stats.norm.ppf(shares), abs=1e-12)
    for a in (0.5, 1.0, 3.0, 40.0, 2000.5):
        for b in (0.5, 2.0, 17.5, 900.0):
            for x in (1e-6, 0.01, 0.3, 0.5, 0.77, 0.999):
                assert beta_below(x, a, b) == pytest.approx(float(special.betainc(a, b, x)), rel=1e-9, abs=1e-14)
    for above, below in ((1, 1), (5, 15), (3.7, 5), (200, 2), (40, 4000)):
        for share in (0.001, 0.025, 0.5, 0.975, 0.999):
            assert f_quantile(share, above, below) == pytest.approx(float(stats.f.ppf(share, above, below)), rel=1e-8)


@pytest.mark.parametrize(
    ("hits", "mated", "false_alarms", "nonmated"), [(13, 20, 4, 20), (20, 20, 0, 20), (9, 9, 1, 3)]
)
def test_intervals_are_those_of_random_draws_of_the_posterior(
    hits: int, mated: int, false_alarms: int, nonmated: int
) -> None:
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
    found = central_interval([Term(1.0, hits, mated)])
    wanted = stats.norm.ppf(stats.beta.ppf([0.025, 0.975], hits + 0.5, mated - hits + 0.5))
    assert list(found) == pytest.approx(wanted.tolist(), abs=off)


def test_interval_of_a_difference_is_that_of_random_draws() -> None:
    rng = np.random.default_rng(2)

    def drawn(count: int, total: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        z = stats.norm.ppf(rng.beta(count + 0.5, total - count + 0.5, 400_000))
        return np.asarray(z, dtype=np.float64)

    of_a, of_b = -(drawn(8, 9) + drawn(2, 3)) / 2, -(drawn(2, 3) + drawn(1, 9)) / 2
    found = difference(sensitivity(8, 9, 2, 3), sensitivity(2, 3, 1, 9)).criterion
    assert [found.low, found.high] == pytest.approx(np.quantile(of_a - of_b, [0.025, 0.975]).tolist(), abs=0.03)


def test_abilities() -> None:
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


def test_agreement() -> None:
    rng = np.random.default_rng(3)
    first = rng.integers(-3, 4, 60)
    second = np.clip(first + rng.integers(-2, 3, 60), -3, 3)
    for power, word in ((1, "linear"), (2, "quadratic")):
        wanted = metrics.cohen_kappa_score(first, second, labels=list(LEVELS), weights=word)
        assert kappa(first, second, LEVELS, power).value == pytest.approx(float(wanted))
    for one, other in ((10, 2), (0, 7), (33, 50), (5, 5)):
        assert mcnemar(one, other) == pytest.approx(float(stats.binomtest(one, one + other, 0.5).pvalue))


NONE = np.array([], dtype=np.int64)
UNDEFINED: list[tuple[Callable[[], object], str]] = [
    (partial(icc_agreement, np.zeros((1, 2))), "An intraclass correlation needs at least"),
    (partial(icc_consistency, np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])), "These scores leave no error, which"),
    (partial(icc_agreement, np.ones((4, 2))), "These scores leave no error, which"),
    (partial(kappa, NONE, NONE, LEVELS, 1), ""),
    (partial(kappa, np.array([2, 2]), np.array([2, 2]), LEVELS, 1), "Both gave one and the same"),
    (partial(percentile_in, 70.0, np.array([])), ""),
    (partial(difference_of_rates, 0, 0, 1, 2), ""),
    *[(partial(mle, B, x), "") for x in (ALL, ~ALL)],
    (partial(mle, np.array([]), ALL[:0]), ""),
    (partial(mle, np.zeros(20), GUESSED, 0.5), "These answers are no better than"),
    (partial(human_difficulty, np.zeros(5), ALL), ""),
    (partial(mcnemar, 0, 0), ""),
]


@pytest.mark.parametrize(("ask", "why"), UNDEFINED)
def test_figures_of_too_little_are_undefined(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(UndefinedRate, match=why or None):
        ask()
