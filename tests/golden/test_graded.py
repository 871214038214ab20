"""The model of graded ratings against SciPy: the same posterior by other means, to four decimals where it is exact."""

from dataclasses import replace
from math import exp, log

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.intervals import UndefinedRate
from fr_training.statistics.graded import UNKNOWN_PEOPLE, Normal, Prior, posterior, right_at, theta_sds, weights_of
from fr_training.statistics.graded_class import MOST_PEOPLE, of_class
from fr_training.statistics.item_response import probability
from fr_training.statistics.ordered_probit import (
    AT_ITS_WORD,
    CRITERION,
    LOG_SCALE,
    THETA,
    Rated,
    Setting,
    evidence_of,
    log_likelihood,
    strength,
)
from support.counts import NIGHTLY
from support.lazy_module import LazyModule

F64 = npt.NDArray[np.float64]

stats, optimize, special = (LazyModule(f"scipy.{one}") for one in ("stats", "optimize", "special"))

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


Moments = list[tuple[float, float]]


def moments(axes: list[F64], shares: F64) -> Moments:
    """Mean and SD along each axis."""
    marginals = [shares.sum(axis=tuple({0, 1, 2} - {place})) for place in range(3)]
    means = [float(mine @ axis) for mine, axis in zip(marginals, axes, strict=True)]
    return [
        (mean, float(np.sqrt(mine @ (axis - mean) ** 2)))
        for mean, mine, axis in zip(means, marginals, axes, strict=True)
    ]


def dense(setting: Setting, answers: list[Rated], steps: tuple[int, int, int] = (65, 33, 33)) -> tuple[list[F64], F64]:
    """The posterior of ability under ABLE, of criterion and of the log of the scale, on a grid of its own."""
    ends = ((-4.8, 7.2), (-2.0, 2.0), (-2.4, 1.8))
    axes = [np.linspace(low, high, n) for (low, high), n in zip(ends, steps, strict=True)]
    theta, criterion, log_scale = np.meshgrid(*axes, indexing="ij", sparse=True)
    logs = by_scipy(theta, criterion, log_scale, setting, answers)
    logs = logs + stats.norm.logpdf(theta, 0.5, 1.0) + stats.norm.logpdf(criterion, 0.0, 0.5)
    shares = np.exp(logs + stats.norm.logpdf(log_scale, 0.0, 0.5) - logs.max())
    return axes, shares / shares.sum()


def answers_of(theta: float, b: F64, hard: F64, rng: np.random.Generator, cuts: F64 = CUTS[1:-1]) -> list[Rated]:
    mated = np.arange(len(b)) % 2 == 0
    evidence = np.where(mated, 1, -1) * strength(theta - hard) + rng.normal(size=len(b))
    ratings = np.searchsorted(cuts, evidence) - 3
    return [Rated(bool(m), float(d), int(r)) for m, d, r in zip(mated, b, ratings, strict=True)]


def drawn(theta: float, criterion: float, scale: float, pairs: int) -> list[Rated]:
    """The answers of somebody to pairs whose difficulties are spread as those of a bank."""
    rng = np.random.default_rng(3)
    b = rng.normal(size=pairs)
    return answers_of(theta, b, b, rng, criterion + scale * CUTS[1:-1])


@pytest.mark.parametrize(
    "answers", [ANSWERS, drawn(1.5, 0.2, 1.4, 40), drawn(-0.5, -0.3, 0.7, 40), drawn(2.5, 0.0, 1.0, 40)]
)
def test_the_posterior_is_that_of_an_independent_integration(answers: list[Rated]) -> None:
    axes, shares = dense(SLIPPING, answers)
    found = posterior(answers, replace(alone(SLIPPING), theta=ABLE))
    values = (found.theta.value, found.criterion.value, log(found.scale.value))
    spreads = (
        found.theta.standard_error,
        found.criterion.standard_error,
        found.scale.standard_error / found.scale.value,
    )
    means, sds = zip(*moments(axes, shares), strict=True)
    assert values == pytest.approx(means, abs=3e-4)
    assert spreads == pytest.approx(sds, abs=3e-4)
    below, step = np.cumsum(shares.sum(axis=(1, 2))), float(axes[0][1] - axes[0][0])
    ends = np.interp([0.025, 0.975], below, axes[0] + step / 2)
    assert (found.theta.low, found.theta.high) == pytest.approx(ends, abs=0.03)


def test_the_likelihood_is_that_of_scipy_to_four_decimals_and_so_is_its_top() -> None:
    theta, criterion, log_scale = np.meshgrid(THETA, CRITERION, LOG_SCALE, indexing="ij", sparse=True)
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


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.85] if NIGHTLY else [0.85])
def test_the_uncertainty_of_difficulty_counts_as_integrating_over_it_does(correlation: float) -> None:
    setting = Setting(correlation, 0.02)
    mean, sd = moments(*dense(setting, ANSWERS, (65, 25, 13)))[0]
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
    """Of somebody who is known nearly exactly: theta 1.2, c 0.4 and a scale of 1."""
    spike = alone(AT_ITS_WORD, Prior(Normal(1.2, 0.01), Normal(0.4, 0.01), Normal(0.0, 0.01)))
    pairs = [Rated(mated, 0.0, 3 if mated else -3) for mated in (True, False)]
    m = float(stats.norm.isf(1.0 - probability(1.2, 0.0, 0.5)))
    for weight in weights_of(pairs, spike):
        low, high = 0.4 + CUTS[weight.rating + 3], 0.4 + CUTS[weight.rating + 4]
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
    assert right_at([], b, spike) == pytest.approx(stats.norm.cdf(m - 0.1), abs=1e-4)
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


def test_people_are_known_better_where_the_machine_knows_what_is_hard() -> None:
    errors = []
    for seed in (3, 4) if NIGHTLY else (3,):  # how far a class spreads moves its errors too
        rng = np.random.default_rng(seed)
        b, theta = rng.normal(size=50), rng.normal(1.5, 0.6, 25)
        found = [of_class([answers_of(one, hard, b, rng) for one in theta]) for hard in (b, rng.permutation(b))]
        errors.append([np.mean([one.theta.standard_error for one in taught.people]) for taught in found])
    known, apart = np.mean(errors, axis=0)
    assert known < 0.98 * apart


@pytest.mark.nightly
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


def test_what_a_class_teaches_is_the_top_of_its_likelihood() -> None:
    """Found by SciPy's optimiser on a likelihood of its own; `WORTH` people of the usual spread count too."""
    rng = np.random.default_rng(7)
    b, theta = rng.normal(size=30), rng.normal(1.0, 0.9, 8)
    people = [answers_of(one, b, b, rng) for one in theta]
    prior = of_class(people).prior
    best = max(prior.settings, key=lambda one: one[1])[0]
    assert best == AT_ITS_WORD
    axes = [np.linspace(-4.0, 6.0, 31), np.linspace(-1.8, 1.8, 15), np.linspace(-1.5, 1.0, 13)]
    theta_, criterion, log_scale = np.meshgrid(*axes, indexing="ij", sparse=True)
    logs = np.stack([by_scipy(theta_, criterion, log_scale, best, one) for one in people])
    usual = ((0.8, None), (0.3, 0.0), (0.3, 0.0))

    def cost(x: F64) -> float:
        weights, penalty = np.zeros(()), 0.0
        for axis, mean, sd, (spread, middle) in zip(axes, x[:3], np.exp(x[3:]), usual, strict=True):
            mine = stats.norm.logpdf(axis, mean, sd)
            weights = weights[..., None] + mine - np.log(np.exp(mine).sum())
            off = 0.0 if middle is None else (mean - middle) ** 2
            penalty += 5.0 * (np.log(sd) + (spread**2 + off) / (2.0 * sd**2))
        return float(penalty - special.logsumexp(logs + weights, axis=(1, 2, 3)).sum())

    top = optimize.minimize(cost, [1.0, 0.0, 0.0, *np.log([0.8, 0.3, 0.3])], method="L-BFGS-B").x
    wider = ((1.0 + 1.0 / 8.0) * 12.0 / 10.0) ** 0.5
    found = (prior.theta, prior.criterion, prior.log_scale)
    assert [one.mean for one in found] == pytest.approx(top[:3], abs=0.01)
    assert [one.sd / wider for one in found] == pytest.approx(np.exp(top[3:]), rel=0.01)


def test_the_worth_of_ratings_is_that_of_an_independent_integration() -> None:
    axes, shares = dense(SLIPPING, ANSWERS, (65, 25, 25))
    theta, criterion, log_scale = np.meshgrid(*axes, indexing="ij", sparse=True)
    for weight in weights_of(ANSWERS, replace(alone(SLIPPING), theta=ABLE)):
        same, different = (
            np.mean(
                [
                    np.exp(by_scipy(theta, criterion, log_scale, SLIPPING, [Rated(mated, one.b, weight.rating)]))
                    for one in ANSWERS
                    if one.mated == mated
                ],
                axis=0,
            )
            for mated in (True, False)
        )
        logs = np.log(same / different).ravel()
        order, found = np.argsort(logs), weight.ratio
        ends = logs[order][np.searchsorted(np.cumsum(shares.ravel()[order]), [0.025, 0.975])]
        assert log(found.value) == pytest.approx(float(shares.ravel() @ logs), abs=5e-3)
        assert np.log([found.low, found.high]) == pytest.approx(ends, abs=0.1)


def test_somebody_who_is_always_sure_is_not_taken_for_undecided_now_and_then() -> None:
    """Of two answers all evidence is divided at c, so that both chances add up to 1 whoever it is."""
    both = [log_likelihood([Rated(True, 0.5, rating)], AT_ITS_WORD) for rating in (3, -3)]
    assert np.exp(both[0]) + np.exp(both[1]) == pytest.approx(1.0, abs=2e-3)
    three = [log_likelihood([Rated(True, 0.5, rating), Rated(True, 0.5, 0)], AT_ITS_WORD) for rating in (3, -3)]
    assert float((np.exp(three[0]) + np.exp(three[1])).max()) < 0.5


def test_how_far_all_pairs_may_be_off_together_is_part_of_the_prior() -> None:
    one, sharp = [Rated(True, 0.0, 1)], Normal(0.0, 0.1)
    unknown, known = (posterior(one, alone(Setting(r, 0.002), Prior(sharp))).theta for r in (0.0, 1.0))
    assert known.standard_error < 0.15 < 0.5 < unknown.standard_error

    def errors(shared: bool) -> float:
        """Mean error of 8 people, of whom each answers the same two pairs, or two of their own that are as hard."""
        hard = [0.0 if shared else n * 1e-4 for n in range(8)]
        found = of_class([[Rated(True, b, 1), Rated(False, b, -1)] for b in hard]).people
        return float(np.mean([person.theta.standard_error for person in found]))

    assert errors(shared=True) > 1.1 * errors(shared=False)
