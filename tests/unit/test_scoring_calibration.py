"""Calibrations: rates, curves from similarity to likelihood ratio and their costs, what is refused, and JSON."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from math import inf, log10, nan
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring import calibrators
from fr_core.scoring.calibration import Calibration, Provenance, WorstFaces, fit_calibration
from fr_core.scoring.calibration_json import from_json, to_json
from fr_core.scoring.calibrators import LogisticCurve, LrCalibrator, StepCurve, fit_logistic, fit_steps
from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import Interval, UndefinedRate, rate, wilson_interval
from fr_core.scoring.likelihood import (
    brier,
    cllr,
    expected_calibration_error,
    level_ratios,
    log_loss,
    lr_calibration_error,
    min_cllr,
    ratio_ceiling,
)
from fr_core.scoring.rate_table import RateTable, rate_table
from fr_core.scoring.verification import threshold_at_fmr

PROVENANCE = Provenance(
    dataset="made by hand",
    list_sha256="0123456789abcdef" * 4,
    people=12,
    model_id="none/1",
    measured_on=date(2026, 11, 25),
    settings={"detector": "640", "flip": "no"},
    part="folds 1, 2",
)


TABLE = RateTable((0.0, 1.0, 2.0), (9, 5, 0), (0, 3, 7), 9, 7, 0, 0)


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


def small() -> Calibration:
    """Five non-mated comparisons and four mated ones, two of which are too low, and a failure of each kind."""
    mated, nonmated = f64(0.2, 0.35, 0.6, 0.7), f64(0.0, 0.1, 0.2, 0.3, 0.4)
    return fit_calibration(mated, nonmated, PROVENANCE, mated_failures=1, nonmated_failures=2)


def large() -> tuple[F64, F64]:
    rng = np.random.default_rng(5)
    return rng.normal(0.55, 0.15, 30_000), rng.normal(0.05, 0.1, 300_000)


def test_rates_are_those_observed_and_between_two_rows_the_worse() -> None:
    found = small()
    assert found.fmr_at(np.nextafter(0.3, 1)) == found.fmr_at(0.4) == rate(1, 5)
    assert (found.fnmr_at(0.35), found.fnmr_at(0.6)) == (rate(1 + 1, 5), rate(2 + 1, 5))
    assert (TABLE.fmr_at(0.99).count, TABLE.fmr_at(1.0).count, TABLE.fmr_at(1.01).count) == (9, 5, 5)
    assert [(TABLE.fmr_at(at).count, TABLE.fnmr_at(at).count) for at in (-inf, 2.01, inf)] == [(9, 0), (0, 7), (0, 7)]
    assert (TABLE.fnmr_at(0.99).count, TABLE.fnmr_at(1.0).count, TABLE.fnmr_at(1.01).count) == (3, 3, 7)
    assert found.threshold_at_fmr(0.2) == np.nextafter(0.3, 1)
    with pytest.raises(UndefinedRate, match=r"do not support a false match rate of 0.19: 5 .* below 0\.2,"):
        found.threshold_at_fmr(0.19)


@pytest.mark.parametrize("target", [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0])
def test_the_threshold_at_a_false_match_rate_is_that_of_the_comparisons(target: float) -> None:
    mated, nonmated = large()
    found = rate_table(mated, nonmated)
    exact = threshold_at_fmr(nonmated, target)
    threshold = found.threshold_at_fmr(target)
    assert found.fmr_at(threshold).value <= target
    # At target 1 the table goes down to the lowest similarity of all, which may be a mated one.
    assert threshold == exact if target < 1.0 else threshold <= exact


def test_a_table_of_many_comparisons_is_compact_and_close() -> None:
    mated, nonmated = large()
    found = rate_table(mated, nonmated)
    assert len(found.thresholds) < 1500
    for threshold in np.linspace(-0.2, 0.9, 200):
        for shown, observed in (
            (found.fmr_at(threshold).count, int((nonmated >= threshold).sum())),
            (found.fnmr_at(threshold).count, int((mated < threshold).sum())),
        ):
            assert observed <= shown <= observed * 1.021 + 1


def test_a_search_is_so_many_chances_of_a_false_match_and_thresholds_keep_its_rate() -> None:
    found = small()
    expected = found.fpir_at(0.4, 3)
    assert expected.value == pytest.approx(1 - 0.8**3)
    interval = wilson_interval(1, 5)
    assert (expected.interval.low, expected.interval.high) == pytest.approx(
        (1 - (1 - interval.low) ** 3, 1 - (1 - interval.high) ** 3)
    )
    assert found.fpir_at(0.4, 1).value == pytest.approx(0.2)
    assert found.fpir_at(-1.0, 10).value == 1.0
    assert found.fpir_at(0.9, 10**12).value == 0.0
    # No false match was seen; that there is none is not said.
    assert found.fpir_at(0.9, 10**12).interval.high == 1.0
    mated, nonmated = large()
    fitted = fit_calibration(mated, nonmated, PROVENANCE)
    threshold = fitted.threshold_at_fpir(0.1, 1000)
    assert threshold == pytest.approx(threshold_at_fmr(nonmated, 0.1 / 1000), abs=0.01)
    assert 0.09 < fitted.fpir_at(threshold, 1000).value <= 0.1
    with pytest.raises(UndefinedRate, match="So few comparisons do not support"):
        fitted.threshold_at_fpir(0.1, 1_000_000)
    with pytest.raises(UndefinedRate, match="So few comparisons do not support"):
        fitted.threshold_at_fpir(1e-310, 10)
    with pytest.raises(UndefinedRate, match="not supported by any number"):
        fitted.threshold_at_fpir(5e-324, 10)


def test_the_interval_says_whether_it_is_by_people_and_so_does_what_follows_from_it() -> None:
    found = small()
    row = found.threshold_at_fmr(0.2)
    limits = Interval(0.1, 0.6, 0.9)
    wider = found.with_bootstrap({row: limits})
    for threshold in (row, np.nextafter(row, 1)):
        assert wider.fmr_interval_at(threshold) == (limits, True)
        expected = wider.fpir_at(threshold, 3)
        assert expected.value == found.fpir_at(threshold, 3).value
        assert (expected.interval.low, expected.interval.high) == pytest.approx((1 - 0.9**3, 1 - 0.4**3))
        assert (expected.interval.confidence, expected.by_people) == (0.9, True)
    assert found.fmr_interval_at(row) == (found.fmr_at(row).interval, False)
    assert wider.fmr_interval_at(0.36) == (wilson_interval(1, 5), False)
    assert not wider.fpir_at(0.36, 3).by_people
    assert wider.fmr_at(row) == found.fmr_at(row)
    assert wider.rates.fmr_bootstrap_at(row) == wider.rates.fmr_bootstrap_at(np.nextafter(row, 1)) == limits
    # .36 shares its row with .35, which has none.
    assert row < 0.35
    for calibration, threshold in ((found, row), (wider, 0.36), (wider, 0.29)):
        with pytest.raises(UndefinedRate, match="No bootstrap interval"):
            calibration.rates.fmr_bootstrap_at(threshold)


def test_comparisons_that_do_not_overlap_are_calibrated_with_steps() -> None:
    mated, nonmated = f64(0.6, 0.7), f64(0.1, 0.2, 0.3)
    with pytest.raises(UndefinedRate, match="calibrate with steps"):
        fit_calibration(mated, nonmated, PROVENANCE)
    found = fit_calibration(mated, nonmated, PROVENANCE, fit=fit_steps)
    assert 0 < found.log10_lr(0.65).log10_lr <= log10(3 + 1)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": ""},
        {"model_id": ""},
        {"people": 1},
        {"list_sha256": "0" * 63},
        {"list_sha256": "0" * 65},
        {"list_sha256": "A" * 64},
        {"dataset": "d" * 129},
        {"part": "p" * 129},
        {"settings": {"k" * 129: ""}},
        {"settings": {"k": "v" * 129}},
        {"settings": {str(number): "" for number in range(33)}},
        {"model_id": "\ud800"},
        {"model_id": "m" * 257},
        {"model_id": "x\x1b[31m"},
        {"model_id": "two\nlines"},
        {"settings": {"\udfff": ""}},
    ],
)
def test_provenance_is_whole_and_short(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"names|at least 2 |SHA-256|at most (128|256|32 settings)|no text can have"):
        replace(PROVENANCE, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": (0.0, 1.0)},
        {"thresholds": (0.0, 2.0, 1.0)},
        {"thresholds": (0.0, 1.0, inf)},
        {"false_matches": (9, 10, 0)},
        {"false_matches": (8, 5, 0)},
        {"false_matches": (9, 5, 1)},
        {"false_non_matches": (0, 8, 7)},
        {"false_non_matches": (1, 3, 7)},
        {"false_non_matches": (0, 3, 6)},
        {"mated_failures": -1},
        {"nonmated_failures": -1},
        {"confidence": 0.0},
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"table|thresholds|[Ff]alse|failures|confidence"):
        replace(TABLE, **change)


WORST = WorstFaces(20.0, 12.0, 0.2, 0.8, 40.0, 30.0, 0.65)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("max_yaw", 181.0, "out of its range"),
        ("min_sharpness", -1.0, "out of its range"),
        ("min_brightness", 0.9, "exceeds the greatest"),
        ("max_pitch", 20, "must be a number with a decimal point"),
        ("max_pitch", None, "max_pitch is missing"),
        ("max_roll", 1.0, "max_roll is not known"),
    ],
)
def test_faces_of_a_calibration_that_make_no_sense_are_refused(name: str, value: Any, sentence: str) -> None:
    document = json.loads(to_json(replace(small(), faces=WORST)))
    document["faces"][name] = value
    if value is None:
        del document["faces"][name]
    with pytest.raises(ValueError, match=sentence):
        from_json(json.dumps(document))


@pytest.mark.parametrize("value", [inf, nan])
def test_faces_of_a_calibration_are_numbers(value: float) -> None:
    with pytest.raises(ValueError, match="out of its range"):
        replace(WORST, min_sharpness=value)


@pytest.mark.parametrize("fit", [fit_logistic, fit_steps])
def test_a_calibration_comes_back_from_json_unchanged(fit: Any) -> None:
    mated, nonmated = large()
    found = fit_calibration(mated[:1000], nonmated[:5000], PROVENANCE, mated_failures=2, fit=fit)
    assert isinstance(found.likelihood.curve, LogisticCurve if fit is fit_logistic else StepCurve)
    limits = {found.threshold_at_fmr(target): Interval(0, 1, 0.9) for target in (0.01, 0.1)}  # 0 and 1 are written .0
    nobody = replace(found, provenance=replace(PROVENANCE, people=None, part=""))
    seen = replace(found, faces=WORST)
    for calibration in (found, found.with_bootstrap(limits), nobody, seen):
        text = to_json(calibration)
        assert json.loads(text)["version"] == (2 if calibration is seen else 1)
        assert from_json(text) == calibration
        assert to_json(from_json(text)) == text


def changed(path: str, value: Any) -> str:
    """The JSON of a small calibration with the value at a dotted path set, or with None removed."""
    document = json.loads(to_json(small()))
    *parents, key = path.split(".")
    place = document
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[key]
    else:
        place[key] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("extra", 1, "In the calibration, extra is not known"),
        ("provenance.extra", 1, "In provenance, extra is not known"),
        ("rates.extra", 1, "In rates, extra is not known"),
        ("likelihood.extra", 1, "In likelihood, extra is not known"),
        ("likelihood.curve.extra", 1, "In curve, extra is not known"),
        ("rates", None, "In the calibration, rates is missing"),
        ("provenance.people", None, "In provenance, people is missing"),
        ("provenance.part", None, "In provenance, part is missing"),
        ("provenance.people", True, "people must be a whole number"),
        ("provenance.people", 12.0, "people must be a whole number"),
        ("provenance.settings", {"flip": 1}, "each of settings must be a text"),
        ("provenance.measured_on", "yesterday", "measured_on must be a day"),
        ("provenance.list_sha256", "0", "SHA-256"),
        ("rates.thresholds", "0.1", "thresholds must be a list"),
        ("rates.thresholds", [0, 1], "each of thresholds must be a number with a decimal point"),
        ("rates.false_matches", [5, 0], "all columns are as long"),
        ("rates.bootstrap", [[0.0, 0.0, 1.0]], "each of bootstrap must be .threshold, low, high, confidence"),
        ("rates.bootstrap", [[0.123, 0.0, 1.0, 0.95]], "for thresholds of the table"),
        ("rates.bootstrap", [["0", 0.0, 1.0, 0.95]], "each of bootstrap must be"),
        ("rates.nonmated", 6, "False matches fall"),
        ("likelihood.strongest", 3.0, "exceed what the number of comparisons"),
        ("likelihood.curve.kind", "line", "kind must be logistic or steps"),
        ("likelihood.curve.slope", -1.0, "slope above 0"),
        ("format", "another", "not a calibration of FR Core"),
        ("format", None, "not a calibration of FR Core"),
        ("version", 3, "version 3, and this release reads 2: install a newer one"),
        ("version", 2, "In the calibration, faces is missing"),
        ("faces", {}, "In the calibration, faces is not known"),
        ("version", 0, "version of this calibration is not a number from 1"),
        ("version", True, "version of this calibration is not a number from 1"),
        ("version", "1", "version of this calibration is not a number from 1"),
    ],
)
def test_json_that_is_not_such_a_calibration_is_refused(path: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        from_json(changed(path, value))


MATED = np.log10([100.0, 50.0, 10.0, 3.0, 0.5])
NONMATED = np.log10([0.01, 0.1, 0.2, 0.5, 4.0])
SCALE = (3, 2, 1, 0, -1, -2, -3)


def i64(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def test_costs_and_calibration_errors_of_published_cases() -> None:
    assert cllr(MATED, NONMATED) == pytest.approx(0.55022, abs=5e-6)
    # Pooled: non-mated .01 to .2 alone; .5 (one of each), 3 and 4 (one of each); mated 10 to 100 alone.
    # The middle blocks have LR 1 and cost a bit each: 2 of 5 mated and 2 of 5 non-mated comparisons.
    assert min_cllr(MATED, NONMATED) == pytest.approx(0.4)
    assert cllr(f64(1000.0), f64(-1000.0)) == 0.0
    # A wrong LR of 10^1000 costs log2 of it, and half of the cost is that of non-mated comparisons.
    assert cllr(f64(1000.0), f64(1000.0)) == pytest.approx(500 * np.log2(10))
    assert log_loss(f64(1.0, 0.0), np.array([True, False])) == 0.0
    assert log_loss(f64(0.2, 0.9), np.array([False, True])) == pytest.approx(-(np.log(0.8) + np.log(0.9)) / 2)
    assert brier(f64(0.2, 0.9), np.array([False, True])) == pytest.approx((0.2**2 + 0.1**2) / 2)
    # .5 falls into the upper of two bins, beside 1: |(.5 + 1) - (0 + 1)| / 2.
    assert expected_calibration_error(f64(0.5, 1.0), np.array([False, True]), bins=2) == 0.25
    assert expected_calibration_error(f64(0.49, 1.0), np.array([True, True]), bins=2) == pytest.approx(0.255)
    assert ratio_ceiling(10, 10) == 21.0
    assert level_ratios(np.full(4, 1), np.full(6, -1), (1, 0, -1))[0].ratio == pytest.approx(ratio_ceiling(4, 6, 3))


@pytest.mark.parametrize(("mated", "nonmated"), [(3000, 57_000), (1000, 99_000), (5000, 5000)])
def test_perfect_ratios_have_no_calibration_error_however_many_there_are_of_a_kind(mated: int, nonmated: int) -> None:
    # Natural logarithms of normal LRs are perfect where their mean is half of their variance, here 2 of 4.
    rng = np.random.default_rng(4)
    of_mated, of_nonmated = rng.normal(2.0, 2.0, mated) / np.log(10), rng.normal(-2.0, 2.0, nonmated) / np.log(10)
    assert lr_calibration_error(of_mated, of_nonmated) < 0.015
    assert lr_calibration_error(of_mated + 0.5, of_nonmated + 0.5) > 0.05
    # The share of each kind is not even odds.
    probabilities = 1 / (1 + 10 ** -np.concatenate([of_mated, of_nonmated]))
    unweighted = expected_calibration_error(probabilities, np.arange(mated + nonmated) < mated)
    assert (unweighted > 0.1) is (mated != nonmated)


def test_the_calibration_error_of_ratios_worked_by_hand() -> None:
    # Even LRs are probabilities of a half, in one bin: |(.5 - 1) / 2 + .5 / 2|. A third of 1 000 : 1 is beside them.
    assert lr_calibration_error(f64(0.0), f64(0.0, 0.0, 0.0)) == pytest.approx(0.0, abs=1e-15)
    assert lr_calibration_error(f64(0.0), f64(0.0, 0.0, 1000.0)) == pytest.approx(1 / 12 + 1 / 6)
    assert lr_calibration_error(f64(1e6), f64(-1e6)) == 0.0


def gaussians(seed: int = 3, mated: int = 4000, nonmated: int = 20000) -> tuple[F64, F64]:
    """Similarities whose true log LR is known: equal spread .1, so ln LR = 40 (s - .3)."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.5, 0.1, mated), rng.normal(0.1, 0.1, nonmated)


@pytest.mark.parametrize("fit", [fit_logistic, fit_steps])
def test_the_true_likelihood_ratio_is_learnt(fit: Callable[..., LrCalibrator]) -> None:
    found = fit(*gaussians())
    for similarity, tolerance in ((0.25, 0.25), (0.3, 0.25), (0.35, 0.25)):
        assert found.evidence(similarity).log10_lr == pytest.approx(40 * (similarity - 0.3) / np.log(10), abs=tolerance)
    mated, nonmated = gaussians(seed=4)
    cost = cllr(found.log10_lrs(mated), found.log10_lrs(nonmated))
    assert cost == pytest.approx(min_cllr(mated, nonmated), abs=0.01)


def test_a_logistic_curve_of_a_case_worked_by_hand() -> None:
    # Mated: 1 of 4 at 0, 3 of 4 at 1; non-mated the other way round. LR is 1/3 at 0 and 3 at 1, which a line can say.
    mated, nonmated = f64(0, 1, 1, 1), f64(1, 0, 0, 0)
    found = fit_logistic(mated, nonmated)
    assert isinstance(found.curve, LogisticCurve)
    assert (found.curve.intercept, found.curve.slope) == pytest.approx((-log10(3), 2 * log10(3)))
    assert fit_logistic(mated, nonmated, prior=0.01).curve.log10_lrs(f64(0, 1)) == pytest.approx([-log10(3), log10(3)])


def test_the_logistic_curve_finds_a_steep_slope_or_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # One pair in a hundred overlaps, by a hair.
    mated = np.append(np.linspace(0.5, 0.9, 99), 0.4999)
    nonmated = np.append(np.linspace(0.0, 0.4998, 99), 0.5001)
    found = fit_logistic(mated, nonmated)
    assert found.evidence(0.5).log10_lr == pytest.approx(0.0, abs=0.3)
    assert found.curve.log10_lrs(f64(0.6))[0] > 1.0
    monkeypatch.setattr(calibrators, "MAX_NEWTON_STEPS", 2)
    with pytest.raises(UndefinedRate, match="does not settle"):
        fit_logistic(*gaussians())


@pytest.mark.parametrize(
    ("mated", "nonmated", "why"),
    [
        (f64(0.5, 0.9), f64(0.1, 0.4), "do not overlap"),
        (f64(0.4, 0.9), f64(0.1, 0.4), "do not overlap"),
        (f64(0.1), f64(0.5, 0.6), "do not overlap"),
        (f64(0.5, 0.5), f64(0.5), "do not overlap"),
        (f64(0.1, 0.2, 0.5), f64(0.15, 0.6, 0.7), "not the more similar"),
    ],
)
def test_similarities_that_do_not_overlap_or_fall_have_no_logistic_curve(mated: F64, nonmated: F64, why: str) -> None:
    with pytest.raises(UndefinedRate, match=why):
        fit_logistic(mated, nonmated)


def test_steps_of_a_case_worked_by_hand() -> None:
    found = fit_steps(f64(0.4, 0.6, 0.8), f64(0.1, 0.2, 0.5))
    assert isinstance(found.curve, StepCurve)
    # Blocks: .1 and .2 (0 to 2), .4 and .5 (1 to 1), .6 and .8 (2 to 0), half of each added at both ends.
    assert found.curve.starts == (0.1, 0.4, 0.6)
    assert [10**level for level in found.curve.levels] == pytest.approx([0.5 / 2.5, 1.0, 2.5 / 0.5])
    divided = fit_steps(f64(0.5, 0.6), f64(0.1, 0.2))
    assert [10**level for level in divided.curve.log10_lrs(f64(0.1, 0.5))] == pytest.approx([0.2, 5.0])
    for mated, nonmated in ((f64(0.1), f64(0.5)), (f64(0.5), f64(0.5))):
        assert fit_steps(mated, nonmated).evidence(0.5).log10_lr == 0.0


def test_evidence_says_when_it_is_cut_off_and_when_it_is_beyond_the_comparisons() -> None:
    found = LrCalibrator(LogisticCurve(-2.0, 10.0), weakest=-1.5, strongest=2.0, lowest=-0.2, highest=0.7)
    inside, cut, beyond, below = (found.evidence(similarity) for similarity in (0.3, 0.7, 0.71, -0.3))
    assert (inside.log10_lr, inside.at_limit, inside.supported) == (1.0, False, True)
    assert (cut.log10_lr, cut.at_limit, cut.supported) == (2.0, True, True)
    assert (beyond.log10_lr, beyond.at_limit, beyond.supported) == (2.0, True, False)
    assert (below.log10_lr, below.at_limit, below.supported) == (-1.5, True, False)


OF_TWO = (cllr, min_cllr, fit_logistic, fit_steps)
OF_PROBABILITIES = (brier, log_loss, expected_calibration_error)
TRUE, LINE = np.array([True]), LogisticCurve(0.0, 1.0)


UNDEFINED: list[tuple[Callable[[], object], str]] = [
    *[(partial(of, f64(), f64(0.1)), "one mated and one non-mated") for of in (*OF_TWO, lr_calibration_error)],
    *[(partial(of, f64(0.1), f64()), "one mated and one non-mated") for of in OF_TWO],
    (partial(rate_table, f64(), f64(0.1), 3, 3), "one mated and one non-mated"),
    (partial(rate_table, f64(0.1), f64(), 3, 3), "one mated and one non-mated"),
    *[(partial(of, f64(), TRUE[:0]), "no probabilities") for of in OF_PROBABILITIES],
    *[(partial(log_loss, f64(p), np.array([mated])), "infinite") for p, mated in ((1.0, False), (0.0, True))],
    (partial(level_ratios, i64(), i64(1), SCALE), "one mated"),
    (partial(ratio_ceiling, 0, 10), "one mated"),
]


@pytest.mark.parametrize(("ask", "why"), UNDEFINED)
def test_figures_of_nothing_are_undefined(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(UndefinedRate, match=why):
        ask()


SMALL = small()
ROW = SMALL.threshold_at_fmr(0.2)
BAD: list[tuple[Callable[[], object], str]] = [
    *[(partial(SMALL.threshold_at_fmr, target), "target") for target in (0.0, 1.1, nan)],
    *[(partial(SMALL.threshold_at_fpir, target, 10), "target") for target in (0.0, 1.0, nan)],
    *[(partial(ask, nan), "threshold is not a number") for ask in (SMALL.fmr_at, SMALL.fnmr_at)],
    (partial(SMALL.fpir_at, 0.4, 0), "at least 1 person"),
    (partial(SMALL.threshold_at_fpir, 0.5, 0), "at least 1 person"),
    (partial(rate_table, f64(nan), f64(0.1)), "finite"),
    *[(partial(rate_table, f64(0.5), f64(0.1), *failures), "failures") for failures in ((-1, 0), (0, -1))],
    *[(partial(replace, SMALL.rates, confidence=c), "confidence") for c in (5e-324, np.nextafter(1, 0), 1.0, nan)],
    (partial(RateTable, (0.0, 1.0), (0, 0), (0, 1), 0, 1, 0, 0), "at least one mated and one non-mated"),
    (partial(RateTable, (0.0, 1.0), (1, 0), (2, 2), 1, 2, 0, 2), "at least one mated and one non-mated"),
    (partial(SMALL.with_bootstrap, {0.123: Interval(0.0, 0.6, 0.95)}), "thresholds of the table"),
    *[
        (partial(SMALL.with_bootstrap, {ROW: Interval(*limits)}), r"bootstrap|confidence")
        for limits in ((0.5, 0.4, 0.95), (0.0, 1.1, 0.95), (0.0, 0.1, 1.0))
    ],
    *[
        (partial(Calibration, PROVENANCE, SMALL.rates, LrCalibrator(LINE, *ends, 0.0, 1.0)), "exceed what the number")
        for ends in ((-0.1, 1.0), (-1.0, 0.1))
    ],
    (partial(from_json, ""), "not JSON, see line 1"),
    (partial(from_json, "{"), "not JSON"),
    (partial(from_json, "[]"), "not a calibration of FR Core"),
    (partial(from_json, '{"format": NaN}'), "not finite"),
    (partial(from_json, '{"format": 1, "format": 2}'), "comes twice"),
    (partial(from_json, "[" * 10_000), "nested deeper than 32 levels"),
    (partial(from_json, '{"format": ' + "1" * 5_000 + "}"), "more than 18 digits"),
    (
        partial(from_json, changed("likelihood.highest", 1.5).replace('"highest": 1.5', '"highest": 1e999')),
        "a lowest and a highest",
    ),
    *[(partial(of, f64(0.1, bad), f64(0.1)), "finite") for of in OF_TWO for bad in (nan, inf, -inf)],
    *[(partial(of, np.zeros((2, 2)), f64(0.0)), "f64") for of in OF_TWO],
    *[(partial(of, f64(bad), TRUE), r"\[0, 1\]") for of in OF_PROBABILITIES for bad in (-0.1, 1.1, nan)],
    *[(partial(of, f64(0.5), np.array([1])), "booleans") for of in OF_PROBABILITIES],
    *[(partial(of, np.array([1]), TRUE), "f64") for of in OF_PROBABILITIES],
    (partial(expected_calibration_error, f64(0.5), TRUE, bins=0), "one bin"),
    (partial(lr_calibration_error, f64(0.0), f64(0.0), bins=0), "one bin"),
    *[(partial(level_ratios, i64(1), i64(1), scale), "two levels, each once") for scale in ((1,), (1, 1))],
    (partial(level_ratios, i64(4), i64(1), SCALE), "not one of the levels"),
    *[(partial(ratio_ceiling, *counts), "counted from 0") for counts in ((-1, 10, 7), (10, 10, 1))],
    *[(partial(fit_logistic, f64(0.1, 0.5), f64(0.2, 0.4), prior), "prior") for prior in (0.0, 1.0, nan)],
    *[(partial(fit_steps(f64(0.5), f64(0.1)).evidence, bad), "finite") for bad in (nan, inf)],
    *[(partial(LogisticCurve, *line), "logistic curve") for line in ((nan, 1.0), (0.0, 0.0), (0.0, inf))],
    *[(partial(StepCurve, *steps), "one step") for steps in (((), ()), ((0.1,), (0.0, 1.0)))],
    *[(partial(StepCurve, pair, (0.0, 1.0)), "rise") for pair in ((0.1, 0.1), (0.2, 0.1), (0.0, inf))],
    *[(partial(StepCurve, (0.0, 1.0), pair), "rise") for pair in ((0.1, 0.1), (0.2, 0.1), (0.0, inf))],
    *[(partial(LrCalibrator, LINE, *ends, 0.0, 1.0), "enclose 0") for ends in ((0.1, 1.0), (-1.0, -0.1), (-inf, 1.0))],
    *[(partial(LrCalibrator, LINE, -1.0, 1.0, *ends), "lowest and a highest") for ends in ((1.0, 0.0), (nan, 1.0))],
]


@pytest.mark.parametrize(("ask", "why"), BAD)
def test_bad_input_is_refused(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        ask()
    assert not isinstance(refused.value, UndefinedRate)
