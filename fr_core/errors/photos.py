"""Refusals of photos and of faces."""

from __future__ import annotations

from fr_core.errors.base import InputRefused
from fr_locales.messages import message


class NoFaceFound(InputRefused):
    """No face was found in the photo."""

    reason = "NO_FACE"
    remedy = message("remedy.no_face_found")


class SeveralFaces(InputRefused):
    """The photo has more than one face, and the call asked for one."""

    reason = "SEVERAL_FACES"
    remedy = message("remedy.several_faces")


class TooManyFaces(InputRefused):
    """The photo has more faces than the limit."""

    reason = "TOO_MANY_FACES"
    remedy = message("remedy.too_many_faces")


class FaceTooSmall(InputRefused):
    """The face has too few pixels between its eyes to be enrolled."""

    reason = "TOO_SMALL"
    remedy = message("remedy.face_too_small")


class LowQuality(InputRefused):
    """The face is too blurred, too dark, too bright, too far from frontal, or too doubtful to be enrolled."""

    reason = "LOW_QUALITY"
    remedy = message("remedy.low_quality")


class Undecodable(InputRefused):
    """The bytes are not a complete photo: empty, truncated, damaged, or not an image at all."""

    reason = "UNDECODABLE"
    remedy = message("remedy.undecodable")


class UnsupportedFormat(InputRefused):
    """The bytes are an image of a format that this server does not accept."""

    reason = "UNSUPPORTED_FORMAT"
    remedy = message("remedy.unsupported_format")


class ImageTooManyBytes(InputRefused):
    """The encoded photo is larger than the limit."""

    reason = "IMAGE_TOO_MANY_BYTES"
    remedy = message("remedy.image_too_many_bytes")


class ImageTooManyPixels(InputRefused):
    """The photo has more pixels than the limit."""

    reason = "IMAGE_TOO_MANY_PIXELS"
    remedy = message("remedy.image_too_many_pixels")


class SeveralFrames(InputRefused):
    """The file is an animation or a multi-page image."""

    reason = "SEVERAL_FRAMES"
    remedy = message("remedy.several_frames")


class ImageTooCostly(InputRefused):
    """Decoding the photo took more time or memory than the limit."""

    reason = "IMAGE_TOO_COSTLY"
    remedy = message("remedy.image_too_costly")
