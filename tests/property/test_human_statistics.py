"""The statistics of human answers: what holds of any counts, ratings and answers."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fr_core.scoring.checks import F64, Bools
from fr_core.scoring.intervals import UndefinedRate
from fr_training.statistics.agreement import icc_agreement, icc_consistency, kappa, mcnemar
from fr_training.statistics.change import Verdict, change_of_tests, percentile_in
from fr_training.statistics.estimates import difference_of_rates
from fr_training.statistics.fusion import fuse
from fr_training.statistics.item_response import eap, information, mle, offset_for, probability
from fr_training.statistics.learning import stretches
from fr_training.statistics.signal_detection import difference, expected, rates_of, sensitivity
from support.counts import examples

LEVELS = (-3, -2, -1, 0, 1, 2, 3)


@st.composite
def counts(draw: st.DrawFn, most: int = 200) -> tuple[int, int, int, int]:
    mated, nonmated = draw(st.integers(1, most)), draw(st.integers(1, most))
    return draw(st.integers(0, mated)), mated, draw(st.integers(0, nonmated)), nonmated


@given(counts())
@settings(max_examples=examples(60))
def test_saying_different_for_same_turns_the_criterion_alone(found: tuple[int, int, int, int]) -> None:
    hits, mated, false_alarms, nonmated = found
    one = sensitivity(hits, mated, false_alarms, nonmated)
    assert one.dprime.low <= one.dprime.value <= one.dprime.high
    assert one.criterion.low <= one.criterion.value <= one.criterion.high
    turned = sensitivity(nonmated - false_alarms, nonmated, mated - hits, mated)
    assert turned.dprime.value == pytest.approx(one.dprime.value, abs=1e-9)
    assert turned.criterion.value == pytest.approx(-one.criterion.value, abs=1e-9)
    assert turned.criterion.low == pytest.approx(-one.criterion.high, abs=3e-4)
    assert turned.dprime.high == pytest.approx(one.dprime.high, abs=3e-4)


@given(counts(60))
@settings(max_examples=examples(40))
def test_one_more_hit_raises_dprime_and_its_interval(found: tuple[int, int, int, int]) -> None:
    hits, mated, false_alarms, nonmated = found
    assume(hits < mated)
    fewer, more = sensitivity(hits, mated, false_alarms, nonmated), sensitivity(hits + 1, mated, false_alarms, nonmated)
    assert more.dprime.value > fewer.dprime.value
    assert more.dprime.low > fewer.dprime.low - 1e-4
    assert more.dprime.high > fewer.dprime.high - 1e-4
    assert more.criterion.value < fewer.criterion.value
    nothing = difference(fewer, fewer)
    assert nothing.dprime.value == 0.0
    assert nothing.dprime.low == pytest.approx(-nothing.dprime.high, abs=3e-4)


@given(st.floats(-4, 4), st.floats(-2, 2), st.integers(1, 60), st.integers(1, 60))
def test_rates_and_expectations(dprime: float, criterion: float, mated: int, nonmated: int) -> None:
    hit_rate, false_rate = rates_of(dprime, criterion)
    assert 0.0 < false_rate < 1.0
    assert (hit_rate >= false_rate) == (dprime >= 0.0) or hit_rate == pytest.approx(false_rate)
    found = expected(dprime, criterion, mated, nonmated)
    best = expected(90.0, 0.0, mated, nonmated).dprime  # the largest d' that so many trials can give
    assert -best - 1e-9 <= found.dprime <= best + 1e-9
    assert found.dprime_sd == pytest.approx(2 * found.criterion_sd)


@st.composite
def answered(draw: st.DrawFn) -> tuple[F64, Bools]:
    n = draw(st.integers(1, 30))
    b = draw(st.lists(st.floats(-3, 3), min_size=n, max_size=n))
    x = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return np.array(b), np.array(x)


@given(answered(), st.sampled_from([0.0, 1 / 3, 0.5]), st.integers(0, 29))
@settings(max_examples=examples(60))
def test_one_more_right_answer_raises_ability(given_: tuple[F64, Bools], g: float, which: int) -> None:
    b, x = given_
    which %= len(b)
    wrong, right = x.copy(), x.copy()
    wrong[which], right[which] = False, True
    lower, higher = eap(b, wrong, g), eap(b, right, g)
    assert higher.theta > lower.theta
    assert higher.low < higher.theta < higher.high
    assert 0.0 < higher.sd <= 1.3
    try:
        found = mle(b, x, g)
    except UndefinedRate:
        return
    slope = (
        (x - probability(found.theta, b, g)) * (probability(found.theta, b, g) - g) / probability(found.theta, b, g)
    ).sum()
    assert slope == pytest.approx(0.0, abs=1e-6)
    assert found.sd == pytest.approx(1 / np.sqrt(information(found.theta, b, g).sum()))


@given(st.floats(0.0, 0.9), st.floats(0.01, 0.99))
def test_offset_gives_the_target(g: float, share: float) -> None:
    target = g + (1 - g) * share
    assert float(probability(offset_for(target, g), 0.0, g)) == pytest.approx(target)


@given(st.lists(st.tuples(st.sampled_from(LEVELS), st.sampled_from(LEVELS)), min_size=1, max_size=40))
def test_kappa_is_symmetric_and_bounded(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    for power in (1, 2):
        try:
            one, other = kappa(first, second, LEVELS, power), kappa(second, first, LEVELS, power)
        except UndefinedRate:
            assert len(set(first.tolist()) | set(second.tolist())) == 1
            continue
        assert one.value == pytest.approx(other.value)
        assert -1.0 - 1e-9 <= one.low <= one.value + 1e-9 <= one.high + 2e-9 <= 1.0 + 3e-9
        backwards = kappa(-first, -second, LEVELS, power)
        assert backwards.value == pytest.approx(one.value)
        assert backwards.standard_error == pytest.approx(one.standard_error, abs=2e-6)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_a_probability(first: int, second: int) -> None:
    assume(first + second)
    assert 0.0 < mcnemar(first, second) <= 1.0
    assert mcnemar(first, second) == mcnemar(second, first)


@given(st.integers(2, 12), st.integers(2, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=examples(40))
def test_intraclass_interval_holds_its_value(subjects: int, raters: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(subjects, raters))
    for found in (icc_agreement(scores), icc_consistency(scores)):
        assert found.low <= found.value <= found.high <= 1.0
    moved = icc_consistency(3 * scores + np.arange(raters))
    assert moved.value == pytest.approx(icc_consistency(scores).value)


@given(counts())
def test_difference_of_shares_is_inside_its_interval(found: tuple[int, int, int, int]) -> None:
    one, turned = difference_of_rates(*found), difference_of_rates(*found[2:], *found[:2])
    assert -1.0 - 1e-12 <= one.low <= one.value <= one.high <= 1.0 + 1e-12
    assert [turned.low, turned.high] == pytest.approx([-one.high, -one.low])


@given(counts(), st.floats(0.1, 30), st.floats(0, 0.99))
def test_change_is_symmetric(scores: tuple[int, int, int, int], sd: float, reliability: float) -> None:
    turned = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
    before, after = scores[:2], scores[2:]
    one, other = change_of_tests(before, after, sd, reliability), change_of_tests(after, before, sd, reliability)
    assert other.verdict == turned.get(one.verdict, one.verdict)
    assert other.index == pytest.approx(-one.index)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_percentiles_in_a_cohort_average_a_half(scores: list[int]) -> None:
    cohort = np.array(scores, dtype=np.float64)
    assert float(np.mean([percentile_in(score, cohort) for score in cohort.tolist()])) == pytest.approx(50.0)


@given(st.integers(1, 300), st.integers(1, 50))
def test_stretches_cover_all_trials_once(trials: int, length: int) -> None:
    found = stretches(trials, length)
    assert [n for start, end in found for n in range(start, end)] == list(range(trials))
    assert all(2 * (end - start) >= length for start, end in found[1:])
    assert all(end - start < 1.5 * length for start, end in found)


@given(st.integers(1, 6), st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_fused_ratings_lie_between_those_given(people: int, items: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratings = rng.integers(-3, 4, (people, items)).astype(np.float64)
    fused = fuse(ratings)
    assert ((ratings.min(axis=0) <= fused) & (fused <= ratings.max(axis=0))).all()
    assert fuse(rng.permutation(ratings)) == pytest.approx(fused)
