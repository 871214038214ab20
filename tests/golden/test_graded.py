"""The model of graded ratings against SciPy: the same posterior by other means, to four decimals where it is exact."""

from dataclasses import replace
from math import exp, log

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.intervals import UndefinedRate
from fr_training.statistics.graded import (
    AT_ITS_WORD,
    UNKNOWN_PEOPLE,
    Normal,
    Prior,
    Rated,
    Setting,
    evidence_of,
    log_likelihood,
    posterior,
    right_at,
    strength,
    theta_sds,
    weights_of,
)
from fr_training.statistics.graded_class import MOST_PEOPLE, of_class
from fr_training.statistics.item_response import probability
from support.lazy_module import LazyModule

F64 = npt.NDArray[np.float64]

stats, optimize = LazyModule("scipy.stats"), LazyModule("scipy.optimize")

CUTS = np.array([-np.inf, -1.3, -0.6, -0.1, 0.1, 0.6, 1.3, np.inf])
DRAWN = np.random.default_rng(7)
ANSWERS = [
    Rated(mated, b, rating)
    for mated, b, rating in zip(
        [True, False] * 10,
        np.round(DRAWN.normal(size=20), 2).tolist(),
        [3, -2, 2, -3, 1, 1, 3, -1, -1, -3, 2, 0, 3, -2, 0, -3, 3, 2, 2, -2],
        strict=True,
    )
]
SLIPPING = Setting(1.0, 0.02)
ABLE = Normal(0.5, 1.0)


def alone(setting: Setting, prior: Prior = UNKNOWN_PEOPLE) -> Prior:
    return replace(prior, settings=((setting, 1.0),))


def by_scipy(theta: F64, criterion: F64, log_scale: F64, setting: Setting, answers: list[Rated]) -> F64:
    """The log likelihood, term by term, of people who are broadcast; difficulty for people is integrated out."""
    total = np.zeros(np.broadcast(theta, criterion, log_scale).shape)
    nodes, weights = np.polynomial.hermite.hermgauss(1 if setting.correlation == 1.0 else 40)
    for one in answers:
        share = np.zeros(total.shape)
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            hard = setting.correlation * one.b + np.sqrt(2.0 * (1.0 - setting.correlation**2)) * node
            right = 0.5 + 0.5 / (1.0 + np.exp(hard - theta))
            mean = stats.norm.isf(1.0 - right) * (1.0 if one.mated else -1.0)
            ends = [criterion + np.exp(log_scale) * CUTS[one.rating + 3 + more] - mean for more in (0, 1)]
            share = share + weight * (stats.norm.cdf(ends[1]) - stats.norm.cdf(ends[0]))
        total = total + np.log((1.0 - setting.slips) * share + setting.slips / 7.0)
    return np.asarray(total, dtype=np.float64)


def dense(setting: Setting, answers: list[Rated], steps: tuple[int, int, int] = (65, 33, 33)) -> tuple[F64, F64]:
    """The marginal posterior of ability under ABLE, on a grid of its own."""
    axes = [
        np.linspace(low, high, n) for (low, high), n in zip(((-4.8, 7.2), (-2.0, 2.0), (-2.4, 1.8)), steps, strict=True)
    ]
    theta, criterion, log_scale = np.meshgrid(*axes, indexing="ij", sparse=True)
    logs = by_scipy(theta, criterion, log_scale, setting, answers)
    logs = logs + stats.norm.logpdf(theta, 0.5, 1.0) + stats.norm.logpdf(criterion, 0.0, 0.5)
    logs = logs + stats.norm.logpdf(log_scale, 0.0, 0.5)
    shares = np.exp(logs - logs.max())
    return axes[0], shares.sum(axis=(1, 2)) / shares.sum()


def test_the_posterior_is_that_of_an_independent_integration() -> None:
    nodes, shares = dense(SLIPPING, ANSWERS)
    mean = float(shares @ nodes)
    sd = float(np.sqrt(shares @ (nodes - mean) ** 2))
    found = posterior(ANSWERS, replace(alone(SLIPPING), theta=ABLE)).theta
    assert found.value == pytest.approx(mean, abs=1e-4)
    assert found.standard_error == pytest.approx(sd, abs=1e-4)
    edges = np.cumsum(shares), nodes + (nodes[1] - nodes[0]) / 2
    assert (found.low, found.high) == pytest.approx(np.interp([0.025, 0.975], *edges), abs=0.03)


def test_the_likelihood_is_that_of_scipy_to_four_decimals_and_so_is_its_top() -> None:
    theta = np.linspace(-4.8, 7.2, 41)[:, None, None]
    criterion, log_scale = np.linspace(-1.8, 1.8, 13)[None, :, None], np.linspace(-1.5, 1.0, 11)[None, None, :]
    found = log_likelihood(ANSWERS, SLIPPING)
    wanted = by_scipy(theta, criterion, log_scale, SLIPPING, ANSWERS)
    assert found == pytest.approx(wanted, abs=1e-4)
    top = optimize.minimize(
        lambda x: -float(by_scipy(x[0], x[1], x[2], SLIPPING, ANSWERS)), [1.0, 0.0, 0.0], method="Nelder-Mead"
    )
    place = np.unravel_index(int(found.argmax()), found.shape)
    nearest = [float(axis.ravel()[n]) for axis, n in zip((theta, criterion, log_scale), place, strict=True)]
    assert np.abs(np.array(nearest) - top.x).max() <= 0.3  # a node of the grid
    assert -top.fun >= float(found.max())


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.85])
def test_the_uncertainty_of_difficulty_counts_as_integrating_over_it_does(correlation: float) -> None:
    setting = Setting(correlation, 0.02)
    nodes, shares = dense(setting, ANSWERS, (65, 25, 13))
    mean = float(shares @ nodes)
    sd = float(np.sqrt(shares @ (nodes - mean) ** 2))
    # How far all pairs may be off together is part of the prior, and not of this integration.
    of_items = (1.0 - correlation**2) / len({(one.mated, one.b) for one in ANSWERS})
    found = posterior(ANSWERS, replace(alone(setting), theta=Normal(0.5, (1.0 - of_items) ** 0.5))).theta
    # Evidence is taken for normal after the difficulty is integrated out, which is not exact.
    assert found.value == pytest.approx(mean, abs=0.03)
    assert found.standard_error == pytest.approx(sd, rel=0.03)


def test_evidence_makes_right_answers_as_likely_as_the_model_of_right_and_wrong() -> None:
    gaps = np.linspace(-8.0, 8.0, 41)
    assert stats.norm.cdf(strength(gaps)) == pytest.approx(probability(gaps, 0.0, 0.5), abs=1e-5)
    mean, width = evidence_of(np.array([0.5]), 0.2, 0.6)
    drawn = strength(0.5 - 0.6 * 0.2 - 0.8 * np.random.default_rng(1).normal(size=200_000))
    assert (float(mean[0]), float(width[0])) == pytest.approx((drawn.mean(), (1 + drawn.var()) ** 0.5), abs=5e-3)


def test_without_answers_the_prior_comes_out_and_bad_answers_are_refused() -> None:
    known = alone(AT_ITS_WORD, Prior(Normal(1.0, 0.8), Normal(0.1, 0.3), Normal(0.1, 0.3)))
    found = posterior([], known)
    assert (found.theta.value, found.theta.standard_error) == pytest.approx((1.0, 0.8), abs=1e-3)
    assert (found.theta.low, found.theta.high) == pytest.approx((1.0 - 1.96 * 0.8, 1.0 + 1.96 * 0.8), abs=0.01)
    assert found.criterion.value == pytest.approx(0.1, abs=1e-3)
    assert found.scale.value == pytest.approx(exp(0.1), rel=0.02)
    for wrong in (Rated(True, 0.0, 4), Rated(True, float("nan"), 1)):
        for figure in (posterior, weights_of, theta_sds):
            with pytest.raises(ValueError, match="Ratings go from"):
                figure([wrong])
    with pytest.raises(UndefinedRate):
        weights_of([Rated(True, 0.0, 1)])
    nobodies: tuple[list[list[Rated]], ...] = ([], [[]])
    for nobody in nobodies:
        with pytest.raises(UndefinedRate):
            of_class(nobody)


def test_the_worth_of_a_rating_is_the_ratio_of_its_chances() -> None:
    """Of somebody who is known nearly exactly: theta 1.2, c 0.3 and a scale of 1."""
    spike = alone(AT_ITS_WORD, Prior(Normal(1.2, 0.01), Normal(0.3, 0.01), Normal(0.0, 0.01)))
    pairs = [Rated(mated, 0.0, 3 if mated else -3) for mated in (True, False)]
    m = float(stats.norm.isf(1.0 - probability(1.2, 0.0, 0.5)))
    for weight in weights_of(pairs, spike):
        low, high = 0.3 + CUTS[weight.rating + 3], 0.3 + CUTS[weight.rating + 4]
        same, different = ((stats.norm.cdf(high - x) - stats.norm.cdf(low - x)) * 0.998 + 0.002 / 7 for x in (m, -m))
        assert log(weight.ratio.value) == pytest.approx(log(same / different), abs=1e-4)
        assert weight.ratio.low <= weight.ratio.value <= weight.ratio.high
    unsure = weights_of(ANSWERS)
    assert [one.rating for one in unsure] == [3, 2, 1, 0, -1, -2, -3]
    assert unsure[0].ratio.low < unsure[0].ratio.value < unsure[0].ratio.high


def test_the_chance_to_be_right_falls_with_difficulty_and_each_answer_narrows_the_ability() -> None:
    b = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    chances = right_at(ANSWERS, b)
    assert (np.diff(chances) < 0).all()
    spike = alone(AT_ITS_WORD, Prior(Normal(0.9, 0.01), Normal(0.0, 0.01), Normal(0.0, 0.01)))
    m = stats.norm.isf(1.0 - probability(0.9, b, 0.5))
    assert right_at([], b, spike) == pytest.approx(stats.norm.cdf(m - 0.1), abs=2e-3)
    sds = theta_sds(ANSWERS, alone(AT_ITS_WORD))
    assert sds[-1] == pytest.approx(posterior(ANSWERS, alone(AT_ITS_WORD)).theta.standard_error, abs=1e-5)
    assert sds[-1] < sds[0] / 2


def test_who_is_always_equally_sure_tells_no_more_than_the_side() -> None:
    sure, unsure = (
        posterior([one._replace(rating=strength * (1 if one.rating > 0 else -1)) for one in ANSWERS])
        for strength in (3, 1)
    )
    assert sure.theta == unsure.theta
    assert sure.theta.standard_error > posterior(ANSWERS).theta.standard_error
    mixed = [one._replace(rating=3 if one.rating > 0 else -3) for one in ANSWERS[:-1]] + [ANSWERS[-1]]
    assert posterior(mixed).theta != sure.theta


def answers_of(theta: float, b: F64, hard: F64, rng: np.random.Generator) -> list[Rated]:
    mated = np.arange(len(b)) % 2 == 0
    evidence = np.where(mated, 1, -1) * strength(theta - hard) + rng.normal(size=len(b))
    ratings = np.searchsorted(CUTS[1:-1], evidence) - 3
    return [Rated(bool(m), float(d), int(r)) for m, d, r in zip(mated, b, ratings, strict=True)]


def test_people_are_known_better_where_the_machine_knows_what_is_hard() -> None:
    errors = []
    for seed in (3, 4, 5):  # how far a class spreads moves its errors too
        rng = np.random.default_rng(seed)
        b, theta = rng.normal(size=50), rng.normal(1.5, 0.6, 25)
        found = [of_class([answers_of(one, hard, b, rng) for one in theta]) for hard in (b, rng.permutation(b))]
        errors.append([np.mean([one.theta.standard_error for one in taught.people]) for taught in found])
    known, apart = np.mean(errors, axis=0)
    assert known < 0.98 * apart


def test_a_class_teaches_its_people_and_how_far_the_machine_knows_what_is_hard() -> None:
    rng = np.random.default_rng(3)
    b = rng.normal(size=50)
    theta = rng.normal(1.5, 0.6, 25)
    known = of_class([answers_of(one, b, b, rng) for one in theta])
    assert known.prior.theta.mean == pytest.approx(1.5, abs=0.4)
    assert 0.4 < known.prior.theta.sd < 1.0
    assert np.corrcoef(theta, [one.theta.value for one in known.people])[0, 1] > 0.7
    apart = of_class([answers_of(one, b, rng.permutation(b), rng) for one in theta])
    of_known, of_apart = (
        sum(one.correlation * share for one, share in found.prior.settings) for found in (known, apart)
    )
    assert of_known > 0.8 > 0.4 > of_apart
    many = of_class([answers_of(one, b, b, rng) for one in np.repeat(theta, 2)[: MOST_PEOPLE + 1]])
    assert len(many.people) == MOST_PEOPLE + 1
    alike = posterior(answers_of(1.5, b, b, rng), known.prior)
    assert alike.theta.low < 1.5 < alike.theta.high
