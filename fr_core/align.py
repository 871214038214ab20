"""Alignment: from five landmarks to the 112 x 112 crop that the embedders were trained on."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from fr_core.types import F32, U8, AlignedFace, frozen_array

F64 = npt.NDArray[np.float64]

CROP_SIZE = 112  # side of the aligned crop in pixels

# f32[5, 2], (x, y) pixels of the 112 x 112 crop: left eye, right eye, nose tip, left and right corner of the mouth.
# Source: `arcface_dst` of InsightFace, python-package/insightface/utils/face_align.py; SFace of the OpenCV zoo uses
# the same five points (FaceRecognizerSF::alignCrop).
ARCFACE_TEMPLATE: F32 = frozen_array(
    np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
        dtype=np.float32,
    )
)

# Below this root-mean-square distance (pixels) from their centre, five landmarks are one point but for rounding.
_MIN_SPREAD_PX = 1e-3


def similarity_transform(landmarks: F32, template: F32) -> F32:
    """The similarity (scale, rotation, shift; no reflection) that brings `landmarks` closest to `template`.

    Closest in the sense of least squares: Umeyama, "Least-squares estimation of transformation parameters between
    two point patterns", IEEE TPAMI 13(4), 1991. In the plane his solution has a closed form: with both patterns
    centred and written as complex numbers p and q, scale and rotation are sum(conj(p) q) / sum(|p|²).

    `landmarks`: f32[N, 2], N >= 2, (x, y) pixels of the photo; `template`: f32[N, 2], where they should come to lie.

    Returns f32[2, 3], read-only; `matrix @ (x, y, 1)` maps a point of the photo into the crop.

    Raises `ValueError`: the shapes differ or are not [N, 2], a value is not finite, the landmarks all coincide, or no
    rotation is better than another (the landmarks are a mirror image of the template).
    """
    return frozen_array(_similarity(landmarks, template).astype(np.float32))


def align(pixels: U8, landmarks: F32) -> AlignedFace:
    """Warp a face to the ArcFace template, exactly as InsightFace's `norm_crop` does.

    Bilinear, black outside the photo. A face much larger than the crop is sampled without a low-pass filter, which
    aliases; the embedders were trained on crops made that way, so it is kept.

    `pixels`: u8[H, W, 3], RGB; `landmarks`: f32[5, 2], (x, y) pixels, in the order of `Detection.landmarks`.

    Raises `ValueError`: as `similarity_transform`.
    """
    # float64 until after the warp: the rounding of a float32 matrix moves samples of a large photo.
    matrix = _similarity(landmarks, ARCFACE_TEMPLATE)
    crop = cv2.warpAffine(
        pixels, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0
    )
    return AlignedFace(pixels=frozen_array(crop), transform=frozen_array(matrix.astype(np.float32)))


def _similarity(landmarks: F32, template: F32) -> F64:
    source = np.asarray(landmarks, dtype=np.float64)
    target = np.asarray(template, dtype=np.float64)
    if source.ndim != 2 or source.shape[1] != 2 or source.shape != target.shape:
        raise ValueError(f"landmarks of shape {source.shape} do not fit a template of shape {target.shape}")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("landmarks must be finite")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    p = (source - source_mean) @ (1, 1j)
    q = (target - target_mean) @ (1, 1j)
    spread = float((np.abs(p) ** 2).sum())
    if not math.sqrt(spread / len(p)) > _MIN_SPREAD_PX:
        raise ValueError("the landmarks are all at one point")
    turn = complex((np.conj(p) * q).sum()) / spread
    if not abs(turn) * math.sqrt(spread) > _MIN_SPREAD_PX:
        raise ValueError("the landmarks fit no rotation of the template")
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target_mean - linear @ source_mean])
