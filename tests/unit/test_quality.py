"""Quality: each measure by itself, the reasons at their limits, the score, and the door to enrolment."""

from __future__ import annotations

import dataclasses
import itertools
import time
from typing import Any

import cv2
import numpy as np
import pytest

from fr_core.align import ARCFACE_TEMPLATE, CROP_SIZE
from fr_core.errors import ConfigInvalid, FaceTooSmall, LowQuality
from fr_core.quality import measure
from fr_core.quality.assess import QualityLimits, assess, require_enrollable
from fr_core.types import F32, U8, AlignedFace, Detection, Quality, QualityReason

LIMITS = QualityLimits()
SIZE = (400, 300)


def textured(mean: float = 115.0, contrast: float = 30.0) -> U8:
    """A crop with detail at every scale, u8[112, 112, 3]."""
    grain = np.random.default_rng(3).normal(0, 1, (CROP_SIZE, CROP_SIZE, 1))
    soft = cv2.GaussianBlur(grain, (0, 0), 2.0)[..., None]
    picture = np.clip(mean + contrast * (grain * 0.5 + soft * 3), 0, 255).astype(np.uint8)
    return np.repeat(picture, 3, axis=2)


def face(
    landmarks: F32 | None = None, box: tuple[float, float, float, float] = (80, 60, 200, 210), score: float = 0.85
) -> Detection:
    if landmarks is None:
        landmarks = ARCFACE_TEMPLATE + np.array([80, 60], dtype=np.float32)
    return Detection(np.array(box, dtype=np.float32), landmarks.astype(np.float32), score)


def crop(pixels: U8 | None = None) -> AlignedFace:
    return AlignedFace(textured() if pixels is None else pixels, np.eye(2, 3, dtype=np.float32))


def head(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, scale: float = 1.0) -> F32:
    """Landmarks of the mean face, pitched up, then turned to the right, then tilted clockwise, seen from afar."""
    y, p, r = np.radians([yaw, pitch, roll])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    seen: F32 = (scale * (measure._MODEL @ (tilt @ turn @ nod).T)[:, :2] + 150).astype(np.float32)
    return seen


def test_sharpness_is_the_variance_of_the_laplacian_of_luma() -> None:
    grey = np.zeros((CROP_SIZE, CROP_SIZE), dtype=np.uint8)
    assert measure.sharpness(grey + 77) == 0.0
    grey[50, 50] = 100
    expected = np.zeros(grey.size)
    expected[:5] = [-400, 100, 100, 100, 100]
    assert measure.sharpness(grey) == pytest.approx(expected.var())
    colours = np.eye(3, dtype=np.uint8)[:, None, None] * 255
    assert [measure.luma(colour)[0, 0] for colour in colours] == [76, 150, 29]


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((0, 0, 400, 300), 0.0),
        ((-50, 0, 50, 100), 0.5),
        ((350, 250, 450, 350), 0.75),
        ((-100, -100, 500, 400), 1 - 120_000 / 300_000),
        ((500, 10, 600, 20), 1.0),
        ((10, 10, 10, 50), 1.0),
        ((50, 10, 10, 50), 1.0),
    ],
)
def test_the_share_outside(box: tuple[float, float, float, float], share: float) -> None:
    assert measure.share_outside(np.array(box, dtype=np.float32), SIZE) == pytest.approx(share)


@pytest.mark.parametrize("yaw", [-70, -30, 0, 15, 60])
@pytest.mark.parametrize("pitch", [-40, 0, 25])
@pytest.mark.parametrize("roll", [-170, -45, 0, 10, 90])
def test_the_pose_of_the_mean_face_is_found_exactly(yaw: float, pitch: float, roll: float) -> None:
    found = measure.pose(head(yaw, pitch, roll, scale=2.5))
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((yaw, pitch, roll), abs=0.01)


def test_the_signs_are_those_of_the_picture_and_the_template_is_frontal() -> None:
    nose_right, nose_up = ARCFACE_TEMPLATE.copy(), ARCFACE_TEMPLATE.copy()
    nose_right[2, 0] += 8
    nose_up[2, 1] -= 8
    lower_right_eye = ARCFACE_TEMPLATE.copy()
    lower_right_eye[1, 1] += 10
    assert measure.pose(nose_right).yaw > 10
    assert measure.pose(nose_up).pitch > 10
    assert measure.pose(lower_right_eye).roll > 10
    assert dataclasses.astuple(measure.pose(ARCFACE_TEMPLATE)) == pytest.approx((0, 0, 0), abs=1.0)
    for no_face in (np.zeros((5, 2)), np.arange(10).reshape(5, 2) * (1, 0)):
        assert np.isfinite(dataclasses.astuple(measure.pose(no_face.astype(np.float32)))).all()


def test_a_good_face_has_no_reason_against_it_and_full_marks() -> None:
    quality = assess(face(), crop(), SIZE, LIMITS, embedding_norm=24.0, min_embedding_norm=17.0)
    assert quality.reasons == ()
    assert quality.score == 1.0
    assert quality.inter_eye_px == pytest.approx(35.24, abs=0.01)
    assert quality.embedding_norm == 24.0
    require_enrollable(quality, LIMITS)
    # Without a norm or a least norm, the embedding is not judged.
    assert assess(face(), crop(), SIZE, LIMITS, 0.1, None).reasons == ()
    assert assess(face(), crop(), SIZE, LIMITS, None, 17.0).embedding_norm is None
    assert assess(face(), crop(), SIZE, LIMITS, 0.1, 17.0).reasons == (QualityReason.WEAK_EMBEDDING,)


FAULTS: dict[QualityReason, dict[str, Any]] = {
    QualityReason.TOO_SMALL: {"detection": face(ARCFACE_TEMPLATE * np.float32(0.4) + 100)},
    QualityReason.BLURRED: {"aligned": crop(cv2.GaussianBlur(textured(), (0, 0), 9.0))},
    QualityReason.TOO_DARK: {"aligned": crop(textured(mean=5.0, contrast=6.0))},
    QualityReason.TOO_BRIGHT: {"aligned": crop(textured(mean=240.0, contrast=9.0))},
    QualityReason.NOT_FRONTAL: {"detection": face(head(yaw=-75, scale=3))},
    QualityReason.TILTED: {"detection": face(head(roll=80))},
    QualityReason.DOUBTFUL_FACE: {"detection": face(score=0.59)},
    QualityReason.WEAK_EMBEDDING: {"embedding_norm": 16.9},
    QualityReason.CUT_OFF: {"detection": face(box=(-60, 60, 60, 210))},
}


@pytest.mark.parametrize("reason", list(QualityReason))
def test_each_fault_has_its_reason_and_no_other_and_is_refused_with_its_figures(reason: QualityReason) -> None:
    sound = {"detection": face(), "aligned": crop(), "embedding_norm": 24.0}
    quality = assess(**{**sound, **FAULTS[reason]}, image_size=SIZE, limits=LIMITS, min_embedding_norm=17.0)
    assert quality.reasons == (reason,)
    assert quality.score < 0.5
    if reason is QualityReason.TOO_SMALL:
        return
    with pytest.raises(LowQuality) as refused:
        require_enrollable(quality, LIMITS)
    metadata = refused.value.metadata
    assert metadata["reasons"] == reason.value
    assert len(metadata) >= 2
    known = {field.name for field in (*dataclasses.fields(Quality), *dataclasses.fields(QualityLimits))}
    assert set(metadata) <= known
    for figure in list(metadata.values())[1:]:
        float(figure)


def test_reasons_come_in_their_order_and_a_small_face_is_refused_as_small() -> None:
    quality = assess(face(ARCFACE_TEMPLATE * np.float32(0.4)), crop(np.zeros_like(textured())), SIZE, LIMITS)
    assert quality.reasons == (QualityReason.TOO_SMALL, QualityReason.BLURRED, QualityReason.TOO_DARK)
    with pytest.raises(FaceTooSmall) as refused:
        require_enrollable(quality, LIMITS)
    assert refused.value.metadata == {"inter_eye_px": "14.1", "min_inter_eye_px": "16"}
    quality = assess(face(head(yaw=75, roll=80, scale=3), score=0.1), crop(np.zeros_like(textured())), SIZE, LIMITS)
    with pytest.raises(LowQuality) as low:
        require_enrollable(quality, LIMITS)
    assert low.value.metadata["reasons"] == "BLURRED,TOO_DARK,NOT_FRONTAL,TILTED,DOUBTFUL_FACE"
    assert (low.value.metadata["min_sharpness"], low.value.metadata["max_yaw"]) == ("4", "60")


def test_a_value_at_its_limit_passes_and_one_beyond_does_not() -> None:
    quality = assess(face(), crop(), SIZE, LIMITS)
    at_its_limits = QualityLimits(
        min_inter_eye_px=quality.inter_eye_px,
        min_sharpness=quality.sharpness,
        min_brightness=quality.brightness,
        max_brightness=quality.brightness,
        max_yaw=abs(quality.yaw),
        max_pitch=abs(quality.pitch),
        max_roll=abs(quality.roll),
        min_detector_score=quality.detector_score,
        max_outside=0.0,
    )
    same = assess(face(), crop(), SIZE, at_its_limits, embedding_norm=5.0, min_embedding_norm=5.0)
    assert same.reasons == ()
    assert same.score == 0.5
    for name, reason in (
        ("min_inter_eye_px", QualityReason.TOO_SMALL),
        ("min_sharpness", QualityReason.BLURRED),
        ("min_detector_score", QualityReason.DOUBTFUL_FACE),
    ):
        beyond = dataclasses.replace(LIMITS, **{name: np.nextafter(getattr(at_its_limits, name), np.inf)})
        assert assess(face(), crop(), SIZE, beyond).reasons == (reason,)


def test_the_score_is_at_least_a_half_if_and_only_if_there_is_no_reason() -> None:
    rng = np.random.default_rng(11)
    seen: set[QualityReason] = set()
    for _ in range(400):
        landmarks = head(rng.normal(0, 35), rng.normal(0, 25), rng.normal(0, 25), rng.uniform(0.2, 2))
        detection = face(
            landmarks, box=(*rng.uniform(-80, 300, 2), *rng.uniform(301, 500, 2)), score=rng.uniform(0.4, 1)
        )
        pixels = cv2.GaussianBlur(textured(rng.uniform(0, 255), rng.uniform(1, 40)), (0, 0), rng.uniform(0.3, 6))
        quality = assess(detection, crop(pixels), SIZE, LIMITS, rng.uniform(12, 30), 17.0)
        assert 0.0 <= quality.score <= 1.0
        assert (quality.score >= 0.5) == (not quality.reasons)
        seen.update(quality.reasons)
    assert seen == set(QualityReason)  # the control: every reason came up


def test_the_score_falls_as_a_photo_is_spoilt() -> None:
    scores = [
        assess(face(head(yaw=yaw, scale=3)), crop(), SIZE, LIMITS).score for yaw in (0, 15, 20, 30, 45, 59, 61, 80)
    ]
    assert scores[0] == scores[1] == 1.0
    assert all(better > worse for better, worse in itertools.pairwise(scores[1:]))


@pytest.mark.parametrize(
    "settings",
    [
        {"min_inter_eye_px": -1.0},
        {"min_sharpness": float("nan")},
        {"min_inter_eye_px": float("inf")},
        {"max_yaw": 181.0},
        {"max_outside": 1.5},
        {"min_brightness": 0.9, "max_brightness": 0.2},
    ],
)
def test_limits_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigInvalid):
        QualityLimits(**settings)


@pytest.mark.parametrize("limit", [field.name for field in dataclasses.fields(QualityLimits)])
def test_every_limit_can_be_lifted(limit: str) -> None:
    lifted = {"max_brightness": 1.0, "max_yaw": 180.0, "max_pitch": 90.0, "max_roll": 180.0, "max_outside": 1.0}
    limits = dataclasses.replace(LIMITS, **{limit: lifted.get(limit, 0.0)})
    assert assess(face(), crop(), SIZE, limits).score == 1.0


def test_a_face_is_assessed_within_a_millisecond() -> None:
    detection, aligned, took = face(), crop(), []
    for _ in range(50):
        begun = time.thread_time()
        assess(detection, aligned, SIZE, LIMITS)
        took.append(time.thread_time() - begun)
    assert float(np.median(took)) < 0.001
