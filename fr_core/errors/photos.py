"""Refusals of photos and of faces."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class NoFaceFound(InputRefused):
    """No face was found in the photo."""

    reason = "NO_FACE"
    remedy = "Send a photo in which a face can be seen from the front, upright and unobstructed."


class SeveralFaces(InputRefused):
    """The photo has more than one face, and the call asked for one."""

    reason = "SEVERAL_FACES"
    remedy = "Crop the photo to one face, or ask for the largest face."


class TooManyFaces(InputRefused):
    """The photo has more faces than the limit."""

    reason = "TOO_MANY_FACES"
    remedy = "Cut the photo into several, or raise `images.max_faces` of the server."


class FaceTooSmall(InputRefused):
    """The face has too few pixels between its eyes to be enrolled."""

    reason = "TOO_SMALL"
    remedy = "Send a photo with more pixels on the face, or lower `quality.min_inter_eye_px` of the server."


class LowQuality(InputRefused):
    """The face is too blurred, too dark, too bright, too far from frontal, or too doubtful to be enrolled."""

    reason = "LOW_QUALITY"
    remedy = "Send a sharper, evenly lit, frontal photo, or lower the limits under `quality` of the server."


class Undecodable(InputRefused):
    """The bytes are not a complete photo: empty, truncated, damaged, or not an image at all."""

    reason = "UNDECODABLE"
    remedy = "Send the complete bytes of one photo, as the camera or the editor wrote them."


class UnsupportedFormat(InputRefused):
    """The bytes are an image of a format that this server does not accept."""

    reason = "UNSUPPORTED_FORMAT"
    remedy = "Convert the photo to JPEG, PNG or WebP, or add the format to `images.formats` of the server."


class ImageTooManyBytes(InputRefused):
    """The encoded photo is larger than the limit."""

    reason = "IMAGE_TOO_MANY_BYTES"
    remedy = "Send a smaller file, or raise `images.max_bytes` of the server."


class ImageTooManyPixels(InputRefused):
    """The photo has more pixels than the limit."""

    reason = "IMAGE_TOO_MANY_PIXELS"
    remedy = "Scale the photo down, or raise `images.max_pixels` of the server."


class SeveralFrames(InputRefused):
    """The file is an animation or a multi-page image."""

    reason = "SEVERAL_FRAMES"
    remedy = "Send one frame as a separate photo."


class ImageTooCostly(InputRefused):
    """Decoding the photo took more time or memory than the limit."""

    reason = "IMAGE_TOO_COSTLY"
    remedy = "Save the photo again with an ordinary editor, or raise the limits in `isolation` of the server."
