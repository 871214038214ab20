"""From a photo to embeddings: pipeline, alignment, and each measure of quality with its limits."""

import dataclasses
import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fr_core.align import ARCFACE_TEMPLATE, CROP_SIZE, align, similarity_transform
from fr_core.detect.null import NullDetector
from fr_core.embed.null import NULL_MODEL, NullEmbedder
from fr_core.embed.onnx import FlipFusion, OnnxEmbedder, PlainEmbedder
from fr_core.embed.protocol import normalised
from fr_core.engine import EngineOptions, Lifeline, open_engine, pack_calibration
from fr_core.errors import ConfigInvalid, FaceTooSmall, LowQuality, NoFaceFound, PackInvalid, SeveralFaces, Undecodable
from fr_core.imaging import ImageLimits
from fr_core.packs import calibrated
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack, pack_names
from fr_core.pipeline import FacePolicy, Pipeline, select
from fr_core.quality import measure
from fr_core.quality.assess import QualityLimits, assess, missed_limits, require_enrollable
from fr_core.quality.prominent import PassedOver
from fr_core.scoring.calibration_json import to_json
from fr_core.types import F32, U8, AlignedFace, Detection, Quality, QualityReason
from support.engines import HandmadeSession, calibration
from support.ledger import MODEL
from support.servers import photo

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
    figures = ", ".join(f"{name} {figure}" for name, figure in list(metadata.items())[1:])
    assert f"The face is not fit to be enrolled: {reason.value} ({figures})." in str(refused.value)
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


def test_a_face_is_held_against_the_limits_of_a_calibration() -> None:
    """A tilt, a weak embedding and a cut stay what the server's limits make of them."""
    outside = face(head(roll=55.0), box=(-200, 60, 200, 210))
    found = assess(outside, crop(), SIZE, LIMITS, embedding_norm=5.0, min_embedding_norm=10.0)
    own = (QualityReason.TILTED, QualityReason.WEAK_EMBEDDING, QualityReason.CUT_OFF)
    assert found.reasons == own
    assert missed_limits(found, QualityLimits(max_roll=180.0, max_outside=1.0)) == own
    worse = missed_limits(found, QualityLimits(min_inter_eye_px=500.0, min_detector_score=0.9))
    assert set(worse) == {*own, QualityReason.TOO_SMALL, QualityReason.DOUBTFUL_FACE}
    good = assess(face(), crop(), SIZE, LIMITS)
    assert missed_limits(good, QualityLimits(max_roll=0.0)) == ()


def test_a_face_is_assessed_within_a_millisecond() -> None:
    detection, aligned, took = face(), crop(), []
    for _ in range(50):
        begun = time.thread_time()
        assess(detection, aligned, SIZE, LIMITS)
        took.append(time.thread_time() - begun)
    assert float(np.median(took)) < 0.001


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), QualityLimits())


def test_every_face_is_embedded_and_policies_choose_among_them(pipeline: Pipeline) -> None:
    analyzed = pipeline.analyze(photo(1, 2))
    assert len(analyzed.faces) == 2
    assert {face.embedding.model for face in analyzed.faces} == {NULL_MODEL}
    assert len(analyzed.image.sha256) == 64
    assert [face.detection.box.tolist() for face in pipeline.detect(photo(1, 2)).faces] == [
        face.face.detection.box.tolist() for face in analyzed.faces
    ]
    (alone,) = pipeline.analyze(photo(1)).faces
    crowd = pipeline.analyze(photo(1, 2, 3)).faces
    second, first = sorted(alone.embedding.similarity(face.embedding) for face in crowd)[-2:]
    assert second < 0.9 < first == pytest.approx(1.0)
    with pytest.raises(Undecodable):
        pipeline.analyze(b"no photo")
    none, one, two = (pipeline.analyze(photo(*blues)) for blues in ((), (1,), (1, 2)))
    for policy in FacePolicy:
        with pytest.raises(NoFaceFound):
            select(none, policy)
        (only,) = select(one, policy)
        assert (only.face, only.number, only.faces, only.passed_over) == (one.faces[0], 1, 1, ())
    for policy in (FacePolicy.ERROR, FacePolicy.PROMINENT):
        with pytest.raises(SeveralFaces) as caught:
            select(two, policy)
        assert caught.value.metadata == {"count": "2"}
    (largest,) = select(two, FacePolicy.LARGEST)
    assert largest.face is two.faces[0]
    assert [(face, why) for face, why in largest.passed_over] == [(two.faces[1].face, PassedOver.SMALLER)]
    assert [one.face for one in select(two, FacePolicy.ALL)] == list(two.faces)
    assert [(one.number, one.faces) for one in select(two, FacePolicy.ALL)] == [(1, 2), (2, 2)]


@pytest.mark.parametrize("vector", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_vector_without_a_direction_is_a_defect_not_an_embedding(vector: list[float]) -> None:
    with pytest.raises(ValueError, match="direction"):
        normalised(np.array([vector], np.float32), NULL_MODEL)


class Means(HandmadeSession):
    """Gives the mean of each channel of each crop."""

    def __init__(self, batch: int | None = None) -> None:
        super().__init__([], (batch, 112, 112, 3))

    def run(self, batch: U8) -> list[F32]:
        self.batches.append(batch)
        return [batch.mean(axis=(1, 2), dtype=np.float32)]


def plain_crop(red: int, green: int = 1, blue: int = 2) -> AlignedFace:
    return AlignedFace(np.full((112, 112, 3), (red, green, blue), np.uint8), np.eye(2, 3, dtype=np.float32))


def test_a_batch_is_one_run_in_its_order_and_embeddings_have_length_one() -> None:
    session = Means()
    made = OnnxEmbedder(session, 3)
    assert made.vectors([plain_crop(n, 12, 13) for n in range(1, 6)]).tolist() == [[n, 12, 13] for n in range(1, 6)]
    (batch,) = session.batches
    assert batch.dtype == np.uint8
    assert batch[3, 50, 50].tolist() == [4, 12, 13]
    (plain,) = PlainEmbedder(OnnxEmbedder(Means(), 3), MODEL).embed([plain_crop(0, 3, 4)])
    assert np.allclose(plain.embedding.vector, [0, 0.6, 0.8])
    assert plain.norm == pytest.approx(5)
    assert plain.embedding.model == MODEL


def test_flip_fusion_adds_raw_vectors_and_keeps_the_scale_of_the_norm() -> None:
    class Halves(Means):
        """Sees the left half only."""

        def run(self, batch: U8) -> list[F32]:
            return super().run(batch[:, :, :56])

    raw = OnnxEmbedder(Halves(), 3)
    face = plain_crop(0, 0, 0)
    pixels = face.pixels.copy()
    pixels[:, :56] = (6, 0, 0)
    pixels[:, 56:] = (0, 8, 0)
    fused = FlipFusion(raw, replace(MODEL, version="1+flip"))
    (both,) = fused.embed([replace(face, pixels=pixels)])
    assert np.allclose(both.embedding.vector, [0.6, 0.8, 0])
    assert both.norm == pytest.approx(5)
    assert both.embedding.model.version == "1+flip"


def test_whoever_watches_a_lifeline_hears_once_early_or_late() -> None:
    heard: list[str] = []
    line = Lifeline()
    line.watch(lambda: heard.append("early"))
    assert line.cause is None
    cause = RuntimeError()
    line.cut(cause)
    line.cut(ValueError())
    line.watch(lambda: heard.append("late"))
    assert heard == ["early", "late"]
    assert line.cause is cause


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"device": "gpu"}, "model.device"),
        ({"precision": "f64"}, "model.precision"),
        ({"device": "cpu", "precision": "bf16"}, "model.precision"),
        ({"detection": "slow"}, "model.detection"),
        ({"threads": -1}, "model.threads"),
        ({"lanes": -1}, "model.lanes"),
        ({"detector_sizes": ""}, "batching.detector_sizes"),
        ({"embedder_sizes": "2"}, "batching.embedder_sizes"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        EngineOptions(**options)
    assert refused.value.metadata["key"] == key


@pytest.mark.models
def test_queue_without_room_is_refused(pack_cache: ModelCache) -> None:
    with pytest.raises(ConfigInvalid, match="max_queued"):
        open_engine(load_pack("buffalo_s"), pack_cache, EngineOptions(device="cpu", max_queued=0))


def test_a_calibration_is_that_of_the_model_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in pack_names():
        for model in (load_pack(name).model_id(flip=False), load_pack(name).model_id(flip=True)):
            found = pack_calibration(model)
            assert found is None or found.provenance.model_id == str(model)
    monkeypatch.setattr(calibrated, "_FOLDER", str(tmp_path))
    plain, flip = (load_pack("buffalo_s").model_id(flip) for flip in (False, True))
    assert pack_calibration(plain) is None
    for model, name in ((plain, "buffalo_s.json"), (flip, "buffalo_s+flip.json")):
        (tmp_path / name).write_text(to_json(calibration(model)))
        assert pack_calibration(model) == calibration(model)
    for text in (to_json(calibration(flip)), "{", to_json(calibration(plain)).replace('"version": 1', '"version": 3')):
        (tmp_path / "buffalo_s.json").write_text(text)
        with pytest.raises(PackInvalid):
            pack_calibration(plain)
    assert pack_calibration(flip) == calibration(flip)


def turned(points: F32, scale: float, degrees: float, shift: tuple[float, float]) -> F32:
    """`points` scaled, turned clockwise in the picture, and shifted."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points.astype(np.float64) @ (scale * np.array([[c, s], [-s, c]])) + shift).astype(np.float32)


def noise(width: int, height: int, seed: int = 0) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def apply(matrix: F32, points: F32) -> F32:
    return points @ matrix[:, :2].T + matrix[:, 2]


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 180.0, -135.0])
@pytest.mark.parametrize("scale", [0.2, 1.0, 9.0])
def test_an_exact_similarity_is_undone(scale: float, degrees: float) -> None:
    landmarks = turned(ARCFACE_TEMPLATE, scale, degrees, (300.0, -40.0))
    matrix = similarity_transform(landmarks, ARCFACE_TEMPLATE)
    assert matrix.dtype == np.float32
    assert not matrix.flags.writeable
    np.testing.assert_allclose(apply(matrix, landmarks), ARCFACE_TEMPLATE, atol=2e-3)


def test_no_other_similarity_is_closer() -> None:
    rng = np.random.default_rng(5)
    landmarks = (turned(ARCFACE_TEMPLATE, 2.0, 20.0, (50.0, 60.0)) + rng.normal(0, 6, (5, 2))).astype(np.float32)

    def distance(matrix: F32) -> float:
        return float(((apply(matrix, landmarks) - ARCFACE_TEMPLATE) ** 2).sum())

    best = similarity_transform(landmarks, ARCFACE_TEMPLATE)
    for _ in range(200):
        a, b, x, y = rng.normal(0, 1, 4) * (0.01, 0.01, 1.0, 1.0)
        nudge = np.array([[a, -b, x], [b, a, y]], dtype=np.float32)
        assert distance((best + nudge).astype(np.float32)) > distance(best)


@pytest.mark.parametrize(
    "landmarks",
    [
        np.full((5, 2), 17.0),
        np.zeros((5, 2)),
        np.full((5, 2), np.nan),
        np.where(np.arange(10).reshape(5, 2) == 3, np.inf, 1.0),
        np.zeros((4, 2)),
        np.zeros((5, 3)),
        np.zeros(10),
    ],
    ids=["one point", "origin", "nan", "inf", "four", "three columns", "flat"],
)
def test_degenerate_landmarks_are_refused(landmarks: F32) -> None:
    with pytest.raises(ValueError):
        similarity_transform(landmarks.astype(np.float32), ARCFACE_TEMPLATE)
    with pytest.raises(ValueError):
        align(noise(50, 50), landmarks.astype(np.float32))
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    with pytest.raises(ValueError, match="no rotation"):  # a mirror image fits none better than another
        similarity_transform(square[:, ::-1].copy() * 10, square)


def test_faces_are_cropped_pixel_for_pixel_and_black_outside_the_photo() -> None:
    photo = noise(200, 200)
    face = align(photo, ARCFACE_TEMPLATE + np.array([30, 40], dtype=np.float32))
    assert np.array_equal(face.pixels, photo[40:152, 30:142])
    np.testing.assert_allclose(face.transform, [[1, 0, -30], [0, 1, -40]], atol=1e-4)
    assert face.pixels.dtype == np.uint8
    assert not face.pixels.flags.writeable
    assert not face.transform.flags.writeable
    white = np.full((200, 200, 3), 255, dtype=np.uint8)
    half = align(white, ARCFACE_TEMPLATE - np.array([56, 0], dtype=np.float32))
    assert (half.pixels[:, :55] == 0).all()
    assert (half.pixels[:, 57:] == 255).all()


def test_a_face_far_out_in_a_very_wide_photo_is_the_face_itself() -> None:
    """OpenCV's coordinates are fixed-point; beyond 32,767 pixels they could overflow."""
    photo = np.zeros((300, 40_000, 3), dtype=np.uint8)
    photo[:, 39_600:39_900] = noise(300, 300)
    landmarks = turned(ARCFACE_TEMPLATE, 1.4, 12.0, (60.0, 50.0))
    near = align(noise(300, 300), landmarks).pixels
    far = align(photo, landmarks + np.array([39_600, 0], dtype=np.float32)).pixels
    assert near.any()
    assert int(np.abs(near.astype(int) - far).max()) <= 8


@pytest.mark.filterwarnings("ignore")  # of InsightFace and scikit-image, about themselves
@pytest.mark.parametrize("size", [(250, 250), (1920, 1080), (4000, 3000)])
def test_crops_are_those_of_insightface(size: tuple[int, int]) -> None:
    reference = pytest.importorskip("insightface.utils.face_align")
    rng = np.random.default_rng(7)
    photo = noise(*size)
    for _ in range(50):
        scale = float(np.exp(rng.uniform(np.log(0.2), np.log(min(size) / 112))))
        landmarks = turned(ARCFACE_TEMPLATE - 56, scale, rng.uniform(-180, 180), tuple(rng.uniform(0, 1, 2) * size))
        landmarks = (landmarks + rng.normal(0, 4 * scale, (5, 2))).astype(np.float32)
        face = align(photo, landmarks)
        # The reference rounds its sums to float32, which at 4,000 pixels moves a point by a thousandth of a pixel.
        np.testing.assert_allclose(face.transform, reference.estimate_norm(landmarks), atol=4e-3, rtol=1e-4)
        difference = np.abs(face.pixels.astype(int) - reference.norm_crop(photo, landmarks))
        assert int(difference.max()) <= 1
