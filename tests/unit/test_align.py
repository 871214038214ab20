"""Alignment: the similarity transform, and the crop beside InsightFace's own."""

from __future__ import annotations

import numpy as np
import pytest

from fr_core.align import ARCFACE_TEMPLATE, CROP_SIZE, align, similarity_transform
from fr_core.types import F32, U8


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
    assert matrix.shape == (2, 3)
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


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    mirrored = ARCFACE_TEMPLATE * np.array([-1, 1], dtype=np.float32)
    matrix = similarity_transform(mirrored, ARCFACE_TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


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


def test_a_mirror_image_that_fits_no_rotation_better_than_another_is_refused() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    mirrored = square[:, ::-1].copy()
    with pytest.raises(ValueError, match="no rotation"):
        similarity_transform(mirrored * 10, square)


def test_a_face_at_the_template_is_cropped_pixel_for_pixel() -> None:
    photo = noise(200, 200)
    face = align(photo, ARCFACE_TEMPLATE + np.array([30, 40], dtype=np.float32))
    assert np.array_equal(face.pixels, photo[40:152, 30:142])
    np.testing.assert_allclose(face.transform, [[1, 0, -30], [0, 1, -40]], atol=1e-4)


def test_the_crop_is_read_only_rgb_of_112() -> None:
    face = align(noise(300, 200), turned(ARCFACE_TEMPLATE, 1.5, 10, (40, 20)))
    assert face.pixels.shape == (CROP_SIZE, CROP_SIZE, 3)
    assert face.pixels.dtype == np.uint8
    assert face.transform.dtype == np.float32
    assert not face.pixels.flags.writeable
    assert not face.transform.flags.writeable


def test_outside_the_photo_is_black() -> None:
    white = np.full((200, 200, 3), 255, dtype=np.uint8)
    face = align(white, ARCFACE_TEMPLATE - np.array([56, 0], dtype=np.float32))
    assert (face.pixels[:, :55] == 0).all()
    assert (face.pixels[:, 57:] == 255).all()


def test_a_read_only_photo_can_be_aligned() -> None:
    photo = noise(200, 200)
    photo.flags.writeable = False
    assert align(photo, ARCFACE_TEMPLATE).pixels.any()


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
