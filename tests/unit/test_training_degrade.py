"""Poor pictures: each kind does what its unit says, more of it at a greater strength, and the same each time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fr_core.types import U8
from fr_training.answers import Degraded
from fr_training.bank.triage import DEGRADATIONS
from fr_training.build.pictures import FACE_WIDTH, OVAL, SIDE, degrade


def face() -> U8:
    """A picture with detail of every size."""
    rng = np.random.default_rng(3)
    fine = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8).astype(np.float32)
    coarse = cv2.GaussianBlur(fine, (0, 0), 12) - 127.5
    return np.asarray(np.clip(127.5 + 12 * coarse + 0.2 * (fine - 127.5), 0, 255), dtype=np.uint8)


RENDERED = [kind for kind, one in DEGRADATIONS.items() if one.rendered]


@pytest.mark.parametrize("kind", RENDERED)
def test_every_strength_of_the_bank_changes_the_picture_and_the_same_each_time(kind: Degraded) -> None:
    picture, one = face(), DEGRADATIONS[kind]
    for strength in (*one.limited, *one.reject):
        made = degrade(picture, kind, strength)
        assert made.shape == (SIDE, SIDE, 3)
        assert made.dtype == np.uint8
        assert not made.flags.writeable
        assert (made != picture).any()
        np.testing.assert_array_equal(made, degrade(picture, kind, strength))


@pytest.mark.parametrize("kind", RENDERED)
def test_a_picture_to_reject_is_farther_from_the_photo_than_a_limited_one(kind: Degraded) -> None:
    picture, table = face(), DEGRADATIONS[kind]

    def lost(strength: float) -> float:
        return float(np.abs(degrade(picture, kind, strength).astype(int) - picture.astype(int)).mean())

    limited, reject = [lost(one) for one in table.limited], [lost(one) for one in table.reject]
    assert max(limited) < min(reject)
    assert limited == sorted(limited)
    assert reject == sorted(reject)


def test_a_pose_is_the_photos_own() -> None:
    picture = face()
    assert degrade(picture, Degraded.POSE, 25.0) is picture


def test_blur_is_the_sigma_of_a_gaussian_in_pixels() -> None:
    edge = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    edge[:, SIDE // 2 :] = 255
    line = degrade(edge, Degraded.BLUR, 6.0)[SIDE // 2, :, 0] / 255.0
    slope = np.diff(line)
    at = np.arange(len(slope))
    mean = (slope * at).sum() / slope.sum()
    assert abs(float(np.sqrt((slope * (at - mean) ** 2).sum() / slope.sum())) - 6.0) < 0.3


def test_noise_has_the_standard_deviation_that_was_asked_for() -> None:
    grey = np.full((SIDE, SIDE, 3), 128, dtype=np.uint8)
    noisy = degrade(grey, Degraded.NOISE, 20.0).astype(np.float64)
    assert abs(float(noisy.std()) - 20.0) < 0.3
    assert abs(float(noisy.mean()) - 128.0) < 0.3


def test_noise_of_two_pictures_differs() -> None:
    grey = np.full((SIDE, SIDE, 3), 128, dtype=np.uint8)
    other = np.full((SIDE, SIDE, 3), 129, dtype=np.uint8)
    one, two = (degrade(picture, Degraded.NOISE, 20.0).astype(int) - picture for picture in (grey, other))
    assert abs(float(np.corrcoef(one.ravel(), two.ravel())[0, 1])) < 0.02


def test_resolution_leaves_as_many_pixels_across_the_face() -> None:
    across = 24.0
    pixel = FACE_WIDTH / across

    def left(period: float) -> float:
        """Share of the contrast of stripes that is left, by their period in pixels of the picture."""
        wave = np.sin(2 * np.pi * np.arange(SIDE) / period)
        picture = np.asarray(128 + 100 * np.tile(wave[None, :, None], (SIDE, 1, 3)), dtype=np.uint8)
        return float(degrade(picture, Degraded.RESOLUTION, across).std()) / float(picture.std())

    assert pytest.approx(0.55 * SIDE) == FACE_WIDTH
    assert left(1.2 * pixel) < 0.25  # finer than two pixels each
    assert left(6.0 * pixel) > 0.75


@pytest.mark.parametrize("share", [0.25, 0.35, 0.6, 0.75])
def test_occlusion_covers_that_share_of_the_oval_from_any_side(share: float) -> None:
    sides = set()
    for level in range(100, 116):
        picture = np.full((SIDE, SIDE, 3), level, dtype=np.uint8)
        covered = (degrade(picture, Degraded.OCCLUSION, share) != level).all(axis=2)
        assert abs(float((OVAL * covered).sum() / OVAL.sum()) - share) < 0.01
        sides.add((bool(covered[0, SIDE // 2]), bool(covered[SIDE // 2, 0]), bool(covered[-1, SIDE // 2])))
    assert len(sides) == 4


@pytest.mark.parametrize(
    ("kind", "strength"),
    [
        (Degraded.BLUR, 0.0),
        (Degraded.NOISE, -1.0),
        (Degraded.OCCLUSION, 1.1),
        (Degraded.COMPRESSION, 96.0),
        (Degraded.RESOLUTION, float("nan")),
    ],
)
def test_a_strength_out_of_range_is_refused(kind: Degraded, strength: float) -> None:
    with pytest.raises(ValueError, match="strength"):
        degrade(face(), kind, strength)
