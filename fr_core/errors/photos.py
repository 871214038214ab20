"""Refusals of photos and of faces."""

from fr_core.errors.base import InputRefused


class NoFaceFound(InputRefused):
    """No face was found in the photo."""

    reason = "NO_FACE"


class SeveralFaces(InputRefused):
    """The photo has more than one face, and the call asked for one."""

    reason = "SEVERAL_FACES"


class TooManyFaces(InputRefused):
    """The photo has more faces than the limit."""

    reason = "TOO_MANY_FACES"


class FaceTooSmall(InputRefused):
    """The face has too few pixels between its eyes to be enrolled."""

    reason = "TOO_SMALL"


class LowQuality(InputRefused):
    """The face is too blurred, too dark, too bright, too far from frontal, or too doubtful to be enrolled."""

    reason = "LOW_QUALITY"


class Undecodable(InputRefused):
    """The bytes are not a complete photo: empty, truncated, damaged, or not an image at all."""

    reason = "UNDECODABLE"


class UnsupportedFormat(InputRefused):
    """The bytes are an image of a format that this server does not accept."""

    reason = "UNSUPPORTED_FORMAT"


class ImageTooManyBytes(InputRefused):
    """The encoded photo is larger than the limit."""

    reason = "IMAGE_TOO_MANY_BYTES"


class ImageTooManyPixels(InputRefused):
    """The photo has more pixels than the limit."""

    reason = "IMAGE_TOO_MANY_PIXELS"


class SeveralFrames(InputRefused):
    """The file is an animation or a multi-page image."""

    reason = "SEVERAL_FRAMES"


class ImageTooCostly(InputRefused):
    """Decoding the photo took more time or memory than the limit."""

    reason = "IMAGE_TOO_COSTLY"
