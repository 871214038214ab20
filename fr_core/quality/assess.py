"""Quality, the verdict: measures against limits, with named reasons, one score, and the door to enrolment."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Set

from fr_core.errors import FaceTooSmall, LowQuality, message
from fr_core.quality.limits import QualityLimits
from fr_core.quality.measure import brightness, inter_eye_px, luma, pose, share_outside, sharpness
from fr_core.types import AlignedFace, Detection, Quality, QualityReason

__all__ = ["QualityLimits", "assess", "missed_limits", "require_enrollable"]

# Where a measure earns full marks: the last value at which the tests behind `QualityLimits` lose no similarity.
_BEST_INTER_EYE_PX = 35.0  # the distance of the eyes in the crop: beyond it the crop gains no detail
_BEST_SHARPNESS = 35.0  # a blur of 1 pixel of the 112
_BEST_BRIGHTNESS = (0.25, 0.65)
_BEST_ANGLE = 15.0  # degrees; the landmarks cannot tell less from none
_BEST_DETECTOR_SCORE = 0.8
_BEST_NORM_RATIO = 1.35  # times the least: the embedder's ordinary faces

_JUST_BELOW_HALF = math.nextafter(0.5, 0.0)

# One measure against one limit: (reason, value, worst, limit, best), so turned that higher is better.
_Test = tuple[QualityReason, float, float, float, float]


def assess(
    detection: Detection,
    aligned: AlignedFace,
    image_size: tuple[int, int],
    limits: QualityLimits,
    embedding_norm: float | None = None,
    min_embedding_norm: float | None = None,
) -> Quality:
    """Measure a face and hold it against limits.

    The score is the lowest mark of all measures, for a chain is as strong as its weakest link. A measure's mark is 1/2
    at its limit, 1 where it costs nothing, 0 at the worst there can be, and linear between them. So the score is at
    least 1/2 if and only if there is no reason against the face.

    Args:
        image_size: (width, height) of the photo, pixels.
        limits: the worst that passes; equal to the limit passes.
        embedding_norm: length of the embedding before normalisation; None where the face was not embedded.
        min_embedding_norm: the least length that the model's makers or its calibration call sound; None = not tested.
            It catches what the other measures cannot see: a face upside down, or no face at all.
    """
    grey = luma(aligned.pixels)
    turned = pose(detection.landmarks)
    measured = Quality(
        score=0.0,
        reasons=(),
        inter_eye_px=inter_eye_px(detection.landmarks),
        sharpness=sharpness(grey),
        brightness=brightness(grey),
        yaw=turned.yaw,
        pitch=turned.pitch,
        roll=turned.roll,
        detector_score=detection.score,
        embedding_norm=embedding_norm,
    )
    tests = list(_tests(measured, share_outside(detection.box, image_size), limits, min_embedding_norm))
    return dataclasses.replace(
        measured,
        score=min(_mark(value, worst, limit, best) for _, value, worst, limit, best in tests),
        reasons=_missed(tests),
    )


# Reasons whose measure is not in `Quality`, or belongs to one model only, or is undone by the alignment.
_AS_ASSESSED = frozenset({QualityReason.CUT_OFF, QualityReason.WEAK_EMBEDDING, QualityReason.TILTED})


def missed_limits(quality: Quality, limits: QualityLimits) -> tuple[QualityReason, ...]:
    """Return the reasons against a face by these limits; it was assessed against others.

    CUT_OFF, WEAK_EMBEDDING and TILTED stay as they were assessed.
    """
    others = (test for test in _tests(quality, 0.0, limits, None) if test[0] not in _AS_ASSESSED)
    return _missed(others, _AS_ASSESSED.intersection(quality.reasons))


def _missed(tests: Iterable[_Test], others: Set[QualityReason] = frozenset()) -> tuple[QualityReason, ...]:
    missed = others | {reason for reason, value, _, limit, _ in tests if not value >= limit}
    return tuple(reason for reason in QualityReason if reason in missed)


def _tests(quality: Quality, outside: float, limits: QualityLimits, min_norm: float | None) -> Iterator[_Test]:
    reason = QualityReason
    dark, bright = _BEST_BRIGHTNESS
    yaw, pitch, roll = abs(quality.yaw), abs(quality.pitch), abs(quality.roll)
    yield reason.TOO_SMALL, quality.inter_eye_px, 0.0, limits.min_inter_eye_px, _BEST_INTER_EYE_PX
    yield reason.BLURRED, quality.sharpness, 0.0, limits.min_sharpness, _BEST_SHARPNESS
    yield reason.TOO_DARK, quality.brightness, 0.0, limits.min_brightness, dark
    yield reason.TOO_BRIGHT, -quality.brightness, -1.0, -limits.max_brightness, -bright
    yield reason.NOT_FRONTAL, -yaw, -180.0, -limits.max_yaw, -_BEST_ANGLE
    yield reason.NOT_FRONTAL, -pitch, -90.0, -limits.max_pitch, -_BEST_ANGLE
    yield reason.TILTED, -roll, -180.0, -limits.max_roll, -_BEST_ANGLE
    yield reason.DOUBTFUL_FACE, quality.detector_score, 0.0, limits.min_detector_score, _BEST_DETECTOR_SCORE
    if quality.embedding_norm is not None and min_norm is not None:
        yield reason.WEAK_EMBEDDING, quality.embedding_norm, 0.0, min_norm, min_norm * _BEST_NORM_RATIO
    yield reason.CUT_OFF, -outside, -1.0, -limits.max_outside, 0.0


def _mark(value: float, worst: float, limit: float, best: float) -> float:
    """0 at `worst`, 1/2 at `limit`, 1 at `best`, linear between; below 1/2 if and only if `value` misses `limit`."""
    if value >= limit:
        return 0.5 + 0.5 * _share(value, limit, best)
    return min(0.5 * _share(value, worst, limit), _JUST_BELOW_HALF)


def _share(value: float, start: float, end: float) -> float:
    """Return how far `value` has come from `start` to `end`, 0 to 1; 1 where there is no way to go."""
    return max(0.0, min(1.0, (value - start) / (end - start))) if end > start else 1.0


def require_enrollable(quality: Quality, limits: QualityLimits) -> None:
    """Raise unless a face may serve as a template.

    Every reason refuses: a template costs matches again with each search. (A probe is searched whatever its quality;
    its caller sees the reasons.) A face that is too small is told so and nothing else, as small faces look blurred,
    too.

    `quality`: of the face, assessed against `limits`.

    Raises `FaceTooSmall`: metadata `inter_eye_px` and `min_inter_eye_px`; `LowQuality`: metadata `reasons`,
    comma-separated in the order of `QualityReason`, then each measure that missed its limit and the limit, by their
    names in `Quality` and `QualityLimits`.
    """
    if QualityReason.TOO_SMALL in quality.reasons:
        raise FaceTooSmall(
            message("error.quality.face_too_small", inter_eye_px=quality.inter_eye_px, least=limits.min_inter_eye_px),
            **_figures(QualityReason.TOO_SMALL, quality, limits),
        )
    if quality.reasons:
        figures = {reason: _figures(reason, quality, limits) for reason in quality.reasons}
        named = "; ".join(
            f"{reason} ({', '.join(f'{name} {figure}' for name, figure in those.items())})"
            for reason, those in figures.items()
        )
        every = {name: figure for those in figures.values() for name, figure in those.items()}
        raise LowQuality(
            message("error.quality.face_not_fit_enrolled", named=named), reasons=",".join(quality.reasons), **every
        )


# The measures and limits behind each reason, by their names in `Quality` and `QualityLimits`.
_BEHIND: dict[QualityReason, tuple[tuple[str, ...], tuple[str, ...]]] = {
    QualityReason.TOO_SMALL: (("inter_eye_px",), ("min_inter_eye_px",)),
    QualityReason.BLURRED: (("sharpness",), ("min_sharpness",)),
    QualityReason.TOO_DARK: (("brightness",), ("min_brightness",)),
    QualityReason.TOO_BRIGHT: (("brightness",), ("max_brightness",)),
    QualityReason.NOT_FRONTAL: (("yaw", "pitch"), ("max_yaw", "max_pitch")),
    QualityReason.TILTED: (("roll",), ("max_roll",)),
    QualityReason.DOUBTFUL_FACE: (("detector_score",), ("min_detector_score",)),
    QualityReason.WEAK_EMBEDDING: (("embedding_norm",), ()),
    QualityReason.CUT_OFF: ((), ("max_outside",)),
}


def _figures(reason: QualityReason, quality: Quality, limits: QualityLimits) -> dict[str, str]:
    measures, bounds = _BEHIND[reason]
    return {name: f"{getattr(quality, name):.4g}" for name in measures} | {
        name: f"{getattr(limits, name):g}" for name in bounds
    }
