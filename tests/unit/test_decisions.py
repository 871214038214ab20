"""From a criterion to a threshold and its error rates; and what is noted of a photo on its way to an embedding."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_api.v1 import common_pb2
from fr_core.align import ARCFACE_TEMPLATE
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import CalibrationInvalid, MissingField, RateNotSupported
from fr_core.gallery.query import ScoreFusion
from fr_core.gallery.values import Found
from fr_core.scoring.calibration import Calibration, fit_calibration
from fr_core.scoring.calibration_json import to_json
from fr_core.scoring.intervals import Interval
from fr_core.types import Decision, Identification, ModelId
from fr_server.config import Config
from fr_server.rpc.convert.calibration import (
    InForce,
    Source,
    TargetFmr,
    TargetFpir,
    Threshold,
    calibration_from,
    calibration_message,
    error_rates,
    likelihood_ratio,
)
from fr_server.rpc.convert.gallery import SearchedFace, search_response
from fr_server.rpc.services.decisions import Decisions, compared_settings, warn_of_other_settings
from fr_server.rpc.services.review_evidence import derived
from support.cases import noise
from support.counts import examples
from support.engines import NONMATED, calibration
from support.servers import null_engine

OF_PACK = calibration()
DECISIONS = Decisions(NULL_MODEL, 0.5, OF_PACK)
PACK = DECISIONS.in_force(NULL_MODEL)
OTHER = ModelId("other", "1", "f" * 64)


def own(calibration: Calibration, **more: Any) -> InForce:
    return InForce(calibration, Source.GALLERY, "b" * 64, **more)


def test_what_is_not_asked_for_is_the_default() -> None:
    assert DECISIONS.threshold(None, NULL_MODEL, PACK) == 0.5
    assert DECISIONS.threshold(Threshold(0.25), OTHER, None) == 0.25
    with pytest.raises(MissingField) as refused:
        DECISIONS.threshold(None, OTHER, None)
    assert refused.value.metadata == {"field": "threshold"}


def test_settings_that_differ_from_those_of_the_measurement_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """The calibration was made with thorough detection, and names no precision."""
    engine = replace(null_engine(Config()), calibration=OF_PACK, detection="thorough")
    assert compared_settings(engine) == {"precision": "f32", "detection": "thorough", "flip": "false"}
    alike = Decisions(NULL_MODEL, 0.5, OF_PACK, compared_settings(engine))
    assert alike.in_force(NULL_MODEL) == PACK
    warn_of_other_settings(engine)
    warn_of_other_settings(replace(engine, detection="fast", calibration=None))
    assert not caplog.records
    other = replace(engine, detection="fast")
    fast = Decisions(NULL_MODEL, 0.5, OF_PACK, compared_settings(other))
    warn_of_other_settings(other)
    assert [record.getMessage() for record in caplog.records] == [
        "The calibration of the pack was measured with another detection: its error rates may not hold here"
    ]
    found = fast.in_force(NULL_MODEL)
    assert found is not None
    assert list(error_rates(found, 0.5).other_settings) == ["detection"]
    assert fast.of_gallery(NULL_MODEL, OF_PACK, "b" * 64).other_settings == ("detection",)
    assert fast.of_gallery(OTHER, OF_PACK, "b" * 64).other_settings == ()  # this server makes none of its embeddings


@given(st.floats(1 / NONMATED, 1.0))
@settings(max_examples=examples(50))
def test_the_rate_at_the_threshold_never_exceeds_the_target(target: float) -> None:
    threshold = DECISIONS.threshold(TargetFmr(target), NULL_MODEL, PACK)
    assert -1.0 <= threshold <= 1.0
    assert OF_PACK.fmr_at(threshold).value <= target


@pytest.mark.parametrize("templates", [0, 1, 7, 1_000])
def test_the_lowest_rate_that_a_refusal_names_is_supported(templates: int) -> None:
    for target in (TargetFmr(1e-9), TargetFpir(1e-9)):
        with pytest.raises(RateNotSupported) as refused:
            DECISIONS.threshold(target, NULL_MODEL, PACK, templates)
        lowest = float(refused.value.metadata["lowest"])
        threshold = DECISIONS.threshold(replace(target, value=lowest), NULL_MODEL, PACK, templates)
        if isinstance(target, TargetFmr):
            assert OF_PACK.fmr_at(threshold).value <= lowest
        else:
            assert OF_PACK.fpir_at(threshold, max(1, templates)).value <= lowest
        shown = float(refused.value.what.rpartition(" ")[2].removesuffix("."))
        assert lowest <= shown <= lowest * 1.01
        DECISIONS.threshold(replace(target, value=shown), NULL_MODEL, PACK, templates)
        with pytest.raises(RateNotSupported):
            DECISIONS.threshold(replace(target, value=lowest * 0.99), NULL_MODEL, PACK, templates)
    with pytest.raises(RateNotSupported) as refused:
        DECISIONS.threshold(TargetFpir(0.99), NULL_MODEL, PACK, 100 * NONMATED)
    assert "no false positive identification rate, for 200000 templates, at all" in refused.value.what
    assert refused.value.metadata == {}


def test_a_threshold_is_one_that_similarities_can_have() -> None:
    """Two people of one similarity of 1 leave no threshold that tells them apart, and some lie below -1."""
    rng = np.random.default_rng(3)
    nonmated = np.concatenate([rng.normal(0.0, 0.2, 998), [1.0, -1.5]])
    found = fit_calibration(rng.normal(0.7, 0.2, 300), nonmated, OF_PACK.provenance)
    assert DECISIONS.threshold(TargetFmr(1.0), NULL_MODEL, own(found)) == -1.0
    alike = fit_calibration(rng.normal(0.7, 0.2, 300), np.append(nonmated, [1.0, 1.0]), OF_PACK.provenance)
    with pytest.raises(RateNotSupported) as refused:
        DECISIONS.threshold(TargetFmr(0.001), NULL_MODEL, own(alike))
    lowest = float(refused.value.metadata["lowest"])
    assert lowest == pytest.approx(3 / 1002)
    assert DECISIONS.threshold(TargetFmr(lowest), NULL_MODEL, own(alike)) <= 1.0


def test_rates_are_those_of_the_calibration() -> None:
    threshold = OF_PACK.threshold_at_fmr(0.01)
    limits, by_people = Interval(0.001, 0.03, 0.9), common_pb2.INTERVAL_METHOD_BY_PEOPLE
    resampled = OF_PACK.with_bootstrap({threshold: limits})
    rates = error_rates(own(resampled), threshold, 9)
    fmr, fnmr = OF_PACK.fmr_at(threshold), OF_PACK.fnmr_at(threshold)
    found = rates.fmr
    assert (found.value, found.count, found.total) == (fmr.value, fmr.count, NONMATED)
    assert (found.low, found.high, found.confidence, found.interval_method) == (0.001, 0.03, 0.9, by_people)
    assert (rates.fnmr.count, rates.fnmr.total, rates.fnmr.high) == (fnmr.count, 503, fnmr.interval.high)
    assert rates.fnmr.interval_method == common_pb2.INTERVAL_METHOD_WILSON
    assert rates.fpir.value == pytest.approx(1 - (1 - fmr.value) ** 9)
    assert (rates.fpir.low, rates.fpir.high) == pytest.approx((1 - (1 - 0.001) ** 9, 1 - (1 - 0.03) ** 9))
    assert (rates.fpir.interval_method, rates.fpir.HasField("count"), rates.templates) == (by_people, False, 9)
    assert "too few to know the rate" in rates.support  # of 20 errors
    often = OF_PACK.threshold_at_fmr(0.05)
    many = OF_PACK.with_bootstrap({often: limits})
    assert error_rates(own(many), often, 9).support == ""
    assert "independent" in error_rates(own(OF_PACK), often, 9).support  # without an interval by people
    assert rates.calibration == common_pb2.Calibration(
        source=common_pb2.CALIBRATION_SOURCE_GALLERY,
        dataset="made-up",
        list_sha256="a" * 64,
        people=50,
        mated=503,
        nonmated=NONMATED,
        measured_on="2026-11-25",
        id="b" * 64,
        mated_failures=3,
    )
    assert calibration_message(own(resampled), with_settings=True).settings == {"detection": "thorough"}
    assert PACK is not None
    plain = error_rates(PACK, threshold, 9)
    assert (plain.fmr.low, plain.fmr.confidence) == (fmr.interval.low, 0.95)
    assert {plain.fmr.interval_method, plain.fpir.interval_method} == {common_pb2.INTERVAL_METHOD_WILSON}
    assert plain.support.startswith(f"{fmr.count} errors in 2,000 comparisons: ")
    assert not error_rates(PACK, threshold).HasField("fpir")
    unknown = replace(OF_PACK, provenance=replace(OF_PACK.provenance, people=None, part="fold 1"))
    message = calibration_message(own(unknown))
    assert (message.HasField("people"), message.part) == (False, "fold 1")


def test_a_likelihood_ratio_says_on_which_side_it_is_cut_off() -> None:
    limits = OF_PACK.likelihood
    likely, sure, unlike = (likelihood_ratio(OF_PACK, at) for at in (0.4, 1.0, -1.0))
    assert 0 < likely.log10_lr < sure.log10_lr == limits.strongest
    assert unlike.log10_lr == limits.weakest
    bounds = [common_pb2.LikelihoodRatioBound.Name(one.bound) for one in (likely, sure, unlike)]
    assert bounds == [f"LIKELIHOOD_RATIO_BOUND_{bound}" for bound in ("NONE", "AT_LEAST", "AT_MOST")]
    assert (likely.in_range, sure.in_range, unlike.in_range) == (True, limits.highest >= 1.0, False)
    assert likelihood_ratio(OF_PACK, limits.lowest).in_range
    none = replace(OF_PACK, likelihood=replace(limits, weakest=0.0, strongest=0.0))
    assert likelihood_ratio(none, 1.0).bound == common_pb2.LIKELIHOOD_RATIO_BOUND_NONE


def test_the_most_templates_that_a_face_saw_are_those_of_the_rates() -> None:
    nobody = Identification((), 0.5, Decision.NO_CANDIDATE, 3, NULL_MODEL)
    searched = [SearchedFace(None, Found(nobody, {}, ScoreFusion.MAX, seen, True)) for seen in (7, 12, 9)]
    answer = search_response(searched, PACK)
    assert (answer.searched_templates, answer.error_rates.templates) == (7, 12)
    assert answer.error_rates.fpir.value == OF_PACK.fpir_at(0.5, 12).value


def changed(**provenance: object) -> str:
    document = json.loads(to_json(OF_PACK))
    document["provenance"].update(provenance)
    return json.dumps(document)


def test_what_no_answer_can_be_given_by_is_refused_in_a_sentence() -> None:
    text = to_json(OF_PACK)
    assert calibration_from(text + " " * (2**20 - len(text))) == OF_PACK
    with pytest.raises(CalibrationInvalid) as refused:
        calibration_from(text + " " * (2**20 - len(text) + 1))
    assert refused.value.metadata == {"limit": "1048576"}
    for wrong in (
        *("", "{", "[]", "[" * 100_000, "{}", text[:-1]),
        text.replace('"version": 1', '"version": 2'),
        changed(people=1),
        changed(people=2**70),
        changed(dataset="\ud800"),
        changed(settings={"\ud800": ""}),
        changed(**{"\ud800" * 5_000: 1}),
        text.replace('"nonmated": 2000', f'"nonmated": {10**400}'),
        text.replace('"nonmated": 2000', f'"nonmated": {"9" * 5_000}'),
        text.replace('"confidence": 0.95', '"confidence": 1e999'),
    ):
        with pytest.raises(CalibrationInvalid) as refused:
            calibration_from(wrong)
        assert refused.value.what.isascii()
        assert 10 < len(refused.value.what) <= 200


def a_face() -> common_pb2.Face:
    """A face that lies where the crop wants it."""
    points = [common_pb2.Point(x=x, y=y) for x, y in ARCFACE_TEMPLATE.tolist()]
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    return common_pb2.Face(
        box=common_pb2.BoundingBox(left=1, top=2, right=3, bottom=4),
        landmarks=common_pb2.Landmarks(**dict(zip(names, points, strict=True))),
        score=0.5,
        quality=common_pb2.Quality(score=0.25, reasons=[common_pb2.QUALITY_REASON_BLURRED]),
    )


def test_each_step_is_told_and_the_format_by_which_it_was_decoded() -> None:
    photos = {form: noise(1, form=form) for form in ("JPEG", "PNG", "WEBP", "GIF")}
    for form, photo in {**photos, "another format": b"RIFF\x24\0\0\0WAVEfmt "}.items():
        assert derived(photo, a_face(), NULL_MODEL)["1_decoded"].startswith(f"{form}, EXIF orientation applied")
    told = derived(noise(1), a_face(), NULL_MODEL)
    assert told["2_box_px"] == "1.00 2.00 3.00 4.00"
    assert [float(one) for one in told["4_similarity_matrix"].split()] == pytest.approx([1, 0, 0, 0, 1, 0], abs=1e-4)
    assert told["5_quality"] == "0.2500 BLURRED"
    assert told["6_embedding"] == "of the crop, by null@1:000000000000, brought to length 1"
