"""From a photo to embeddings: the pipeline on the null models, embedders, the engine, and alignment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_core.align import ARCFACE_TEMPLATE, CROP_SIZE, align, similarity_transform
from fr_core.detect.null import NullDetector
from fr_core.embed.null import NULL_MODEL, NullEmbedder
from fr_core.embed.onnx import FlipFusion, OnnxEmbedder, PlainEmbedder
from fr_core.embed.protocol import normalised
from fr_core.engine import EngineOptions, Lifeline, open_engine, pack_calibration
from fr_core.errors import ConfigInvalid, NoFaceFound, PackInvalid, SeveralFaces, Undecodable
from fr_core.imaging import ImageLimits
from fr_core.packs import calibrated
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack, pack_names
from fr_core.pipeline import FacePolicy, Pipeline, select
from fr_core.quality.assess import QualityLimits
from fr_core.scoring.calibration_json import to_json
from fr_core.types import F32, U8, AlignedFace
from support.engines import HandmadeSession, calibration
from support.ledger import MODEL
from support.servers import photo


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), QualityLimits())


def test_every_face_is_embedded_with_the_model_and_the_photo_named(pipeline: Pipeline) -> None:
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
    assert (first, second < 0.9) == (pytest.approx(1.0), True)
    with pytest.raises(Undecodable):
        pipeline.analyze(b"no photo")


def test_policies(pipeline: Pipeline) -> None:
    none, one, two = (pipeline.analyze(photo(*blues)).faces for blues in ((), (1,), (1, 2)))
    for policy in FacePolicy:
        with pytest.raises(NoFaceFound):
            select(none, policy)
        assert select(one, policy) == one
    with pytest.raises(SeveralFaces) as caught:
        select(two, FacePolicy.ERROR)
    assert caught.value.metadata == {"count": "2"}
    assert select(two, FacePolicy.LARGEST) == two[:1]
    assert select(two, FacePolicy.ALL) == two


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


def crop(red: int, green: int = 1, blue: int = 2) -> AlignedFace:
    return AlignedFace(np.full((112, 112, 3), (red, green, blue), np.uint8), np.eye(2, 3, dtype=np.float32))


def test_a_batch_is_one_run_in_its_order_and_embeddings_have_length_one() -> None:
    session = Means()
    made = OnnxEmbedder(session, 3)
    assert made.vectors([crop(n, 12, 13) for n in range(1, 6)]).tolist() == [[n, 12, 13] for n in range(1, 6)]
    (batch,) = session.batches
    assert batch.dtype == np.uint8
    assert batch[3, 50, 50].tolist() == [4, 12, 13]
    (plain,) = PlainEmbedder(OnnxEmbedder(Means(), 3), MODEL).embed([crop(0, 3, 4)])
    assert np.allclose(plain.embedding.vector, [0, 0.6, 0.8])
    assert (plain.norm, plain.embedding.model) == (pytest.approx(5), MODEL)


def test_flip_fusion_adds_raw_vectors_and_keeps_the_scale_of_the_norm() -> None:
    class Halves(Means):
        """Sees the left half only."""

        def run(self, batch: U8) -> list[F32]:
            return super().run(batch[:, :, :56])

    raw = OnnxEmbedder(Halves(), 3)
    face = crop(0, 0, 0)
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
    for text in (to_json(calibration(flip)), "{", to_json(calibration(plain)).replace('"version": 1', '"version": 2')):
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
    assert (matrix.dtype, matrix.shape) == (np.float32, (2, 3))
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


def test_a_face_at_the_template_is_cropped_pixel_for_pixel() -> None:
    photo = noise(200, 200)
    face = align(photo, ARCFACE_TEMPLATE + np.array([30, 40], dtype=np.float32))
    assert np.array_equal(face.pixels, photo[40:152, 30:142])
    np.testing.assert_allclose(face.transform, [[1, 0, -30], [0, 1, -40]], atol=1e-4)
    assert (face.pixels.shape, face.pixels.dtype) == ((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    assert not face.pixels.flags.writeable
    assert not face.transform.flags.writeable


def test_outside_the_photo_is_black() -> None:
    white = np.full((200, 200, 3), 255, dtype=np.uint8)
    face = align(white, ARCFACE_TEMPLATE - np.array([56, 0], dtype=np.float32))
    assert (face.pixels[:, :55] == 0).all()
    assert (face.pixels[:, 57:] == 255).all()


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
